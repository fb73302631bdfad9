"""Lets the tests of this folder import its helpers: with --import-mode=importlib pytest leaves the path alone."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
