"""`python -m gradcheck` is the command `gradcheck`."""

import sys

from gradcheck.cli import main

sys.exit(main())
