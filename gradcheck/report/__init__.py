"""What a check found, worded: for a terminal, a notebook and a program."""
