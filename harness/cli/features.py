"""Pytest as the commands start it: on the features of this folder, else on those that come with blackstart."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

# Exit code of pytest -> ours: 2 is an interruption there, 4 a usage error, 5 no drill at all.
CODES, UNKNOWN = {0: 0, 1: 1, 2: 130, 3: 3, 4: 2, 5: 2}, 3
ROOT = "BLACKSTART_ROOT"  # pytest expands variables in the path of its root, once
# Options whose value is the next word: a folder of that name is not named by it.
VALUED = {
    "-c", "-k", "-m", "-o", "-p", "-r", "-W", "--approver", "--estate", "--initiator", "--reports", "--strategy",
    "--substrate",
}  # fmt: skip
SITE_LOSS = "features/estate/site_loss.feature"


def run_pytest(
    options: Sequence[str], words: Sequence[str] = (), estate: Path | None = None, *, whole: bool = False
) -> int:
    """Run pytest on the words, without a feature on the site loss (or all if `whole`); return our exit code for its."""
    from harness.cli.app import estate_or_example
    from harness.parts.places import FILES, PACKAGED

    own = Path("features").is_dir()
    home = Path.cwd() if own else FILES
    command = [sys.executable, "-P", "-m", "blackstart", "-p", "blackstart", "-p", "no:cacheprovider", *options]
    command.append(f"--rootdir=${ROOT}")
    command.append(f"--estate={estate_or_example(estate).resolve()}")
    if not own and FILES == PACKAGED:
        command += ["-c", str(FILES / "fixtures" / "drill.ini")]
    if not names_features(words):
        own_or_packaged = Path.cwd() if own else FILES
        command.append(str(own_or_packaged / "features" if whole else default_features(own_or_packaged)))
    with subprocess.Popen([*command, *words], env=os.environ | {ROOT: str(home)}) as child:
        # Ctrl-C reaches the drill by itself, which then needs the time to leave nothing behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        code = child.wait()
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return CODES.get(code, UNKNOWN)


def names_features(words: Sequence[str]) -> bool:
    """Return whether a feature file or a folder is among the words for pytest, which may be values of options."""
    return any(
        ".feature" in word or Path(word).is_dir() for before, word in pairwise(("", *words)) if before not in VALUED
    )


def default_features(home: Path) -> Path:
    """Return the drill of the site loss, or all features of a folder that has none of that name."""
    found = home / SITE_LOSS
    return found if found.is_file() else home / "features"
