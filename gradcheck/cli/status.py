"""Exit statuses of the command."""

from __future__ import annotations

RIGHT, WRONG, MISCALLED, UNDECIDED, INTERRUPTED = 0, 1, 2, 3, 130

EXPLAINED = """\
exit status:
  0  the gradient is right
  1  it is wrong
  2  no verdict: a call that can't be judged, or the code under check ended its process
  3  inconclusive"""
