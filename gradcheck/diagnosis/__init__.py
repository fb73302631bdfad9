"""Which entry of a wrong gradient is wrong, and why."""
