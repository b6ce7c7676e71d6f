"""Pytest as the commands start it: on the features of this folder, else on those that come with blackstart."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

SITE_LOSS, ALL = "features/estate/site_loss.feature", "features"


def run_pytest(
    options: Sequence[str], words: Sequence[str] = (), estate: Path | None = None, drill: str = SITE_LOSS
) -> int:
    """Run pytest to its end with these options and the user's own arguments, and return its exit code.

    `drill`: the features to run where the user named none; `estate`: the declaration, where it is not `estate.toml`.
    """
    from harness.cli.app import estate_or_example
    from harness.parts.places import FILES, PACKAGED

    own = Path("features").is_dir()
    named = any(".feature" in word or Path(word).is_dir() for word in words)
    home = Path.cwd() if own else FILES
    command = [sys.executable, "-P", "-m", "pytest", "-p", "blackstart", "-p", "no:cacheprovider", *options]
    command.append(f"--rootdir={home}")
    command.append(f"--estate={estate_or_example(estate).resolve()}")
    if not own and FILES == PACKAGED:
        command += ["-c", str(FILES / "fixtures" / "drill.ini")]
    if not named:
        command.append(str(default_features(Path.cwd() if own else FILES, drill)))
    with subprocess.Popen([*command, *words]) as child:
        # The terminal sends Ctrl-C to the drill as well, which then needs time for its teardown.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        code = child.wait()
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return code


def default_features(home: Path, drill: str) -> Path:
    """Return the named drill, or all features of a folder that has none of that name."""
    found = home / drill
    return found if found.exists() else home / ALL
