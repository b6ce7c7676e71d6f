"""Where blackstart's own files are, in a checkout as in an installed package, and where the folders of runs go."""

import os
from pathlib import Path

from harness.parts.cache import cache_home

CODE = Path(__file__).resolve().parents[2]  # holds the packages `harness` and `notifier`
PACKAGED = CODE / "harness" / "bundle"  # in an installed package: the files that a checkout has beside them
FILES = PACKAGED if PACKAGED.is_dir() else CODE  # features, steps, fixtures, deploy, estate.toml, requirements.lock


def runs_folder(home: Path) -> Path:
    """Return where run folders go: to $BLACKSTART_RUNS, else below `home`, else, for a read-only one, to the cache."""
    if named := os.environ.get("BLACKSTART_RUNS"):
        return Path(named).absolute()
    own = home.absolute() / ".blackstart" / "runs"
    there = next(path for path in (own, *own.parents) if path.exists())
    return own if os.access(there, os.W_OK | os.X_OK) else cache_home() / "runs"
