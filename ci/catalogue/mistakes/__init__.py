"""Wrong gradients, each with the causes that explain it. `sets.py` gives them to the reports.

Add a mistake to `special_values.py` or `behaviours.py`. The files of `heldout` show how gradcheck does on mistakes it was not tuned on.
"""
