"""From measurements to a verdict: observe a function at a point, compare, and excuse what is no mistake."""
