"""Examples, each in one file that runs by itself: `python -m gradcore.examples.physics`."""
