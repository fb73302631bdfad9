"""The same mistakes in every framework: `mistakes.py` has them once, `ways.py` makes a function of each framework of them."""
