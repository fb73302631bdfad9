"""`python -m gradcore` is the command `gradcore`."""

import sys

from gradcore.cli import main

sys.exit(main())
