"""From one example or a domain to many calls, and to the smallest one that fails. Needs Hypothesis."""
