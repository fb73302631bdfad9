"""Campaigns: what a target declares becomes a list of checks, run by any `concurrent.futures.Executor`, one result a line.

A check is plain data that names what it checks. It is judged in a process of its own kind (`child`), so that code under check
which ends its process, overflows the stack or hangs takes nothing else along.
"""

COMMANDS = ("check", "verify", "op", "run", "guide")
"""What `gradcheck` takes for a command; anything else in its place is a target."""
