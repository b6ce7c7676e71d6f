"""A run of pytest that a test starts, as a reader of the project starts his."""

import sys

# Without what only our own development has: hypothesis takes a third of a second at the end of each run.
OPTIONS = ("-q", "-p", "no:hypothesispytest")
PYTEST = (sys.executable, "-m", "pytest", *OPTIONS)
