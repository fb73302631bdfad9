"""The summary of a verification run: a table in the terminal, JSON and HTML on request.

In the process that runs a test, `recording` lets the test record what it checked and sends it along with pytest's own
reports, which also cross from an xdist worker; a failed result (`failures`) fails its test, and `frames` keeps gradcheck's
own source out of what a failed test shows. In the process that writes, `collector` gathers what was recorded into a
`Summary` (`results`), which `table` and `page` print. None of it loads NumPy before a test records a result or a file is
requested.
"""

from gradcheck.summary.collector import add_options, install
from gradcheck.summary.recording import gradcheck_record

__all__ = ["add_options", "gradcheck_record", "install"]
