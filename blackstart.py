"""The pytest plugin that is loaded wherever blackstart is installed, and that does nothing where no drills are.

Where the folder that pytest runs in, or its root, holds an `estate.toml`, where a feature that comes with blackstart is
named, and with `-p blackstart`, it loads the steps and the fixtures: `pytest features/` then runs drills, and a folder
of your own needs no conftest.py. Everywhere else it imports nothing, adds no option and takes no feature file.

`python -m blackstart` is pytest as the commands of blackstart run it: a mistake of its command line is one line.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
PACKAGED = HERE / "harness" / "bundle"  # as in harness.parts.places, of which nothing is imported in vain
FILES = PACKAGED if PACKAGED.is_dir() else HERE
MARK = "estate.toml"
PLUGIN = "fixtures.plugin"  # with all steps and fixtures
USAGE = "usage: "  # what a message of argparse begins with
LISTED = "\n  "  # before each line of a message that lists several mistakes


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Load steps and fixtures where drills are to be run."""
    if not is_asked_for(early_config):
        return
    if str(FILES) not in sys.path:
        sys.path.insert(0, str(FILES))  # their packages are called `steps` and `fixtures`, and are found nowhere else
    if early_config.pluginmanager.is_blocked(PLUGIN):
        raise pytest.UsageError(f"-p no:{PLUGIN} would leave every drill out; remove it")
    early_config.pluginmanager.import_plugin(PLUGIN)


def is_asked_for(config: pytest.Config) -> bool:
    """Return whether this run of pytest is one of drills."""
    here, root = config.invocation_params.dir, config.rootpath
    homes = {here, root, root.parent}
    for word in config.invocation_params.args:
        path = (here / str(word).split("::", 1)[0]).resolve()
        homes |= {folder.parent for folder in (path, *path.parents) if folder.name == "features"}
    plugins = config.known_args_namespace.plugins
    return __name__ in plugins or FILES in homes or any((home / MARK).is_file() for home in homes)


class OneLine:
    """Prints a mistake of the command line as one line, without the usage of pytest and the place of its settings."""

    @pytest.hookimpl(wrapper=True)
    def pytest_cmdline_parse(self) -> Generator[None, Any, Any]:
        """Read the options."""
        try:
            return (yield)
        except pytest.UsageError as error:
            raise SystemExit(report(error)) from None

    @pytest.hookimpl(wrapper=True)
    def pytest_cmdline_main(self) -> Generator[None, Any, Any]:
        """Collect the drills, and run them."""
        try:
            return (yield)
        except pytest.UsageError as error:
            raise SystemExit(report(error)) from None


def report(error: pytest.UsageError) -> int:
    """Print a mistake to standard error, and return the exit code of pytest for it."""
    said = "; ".join(map(str, error.args))
    if said.startswith(USAGE):
        said = said.partition(": error: ")[2].partition("\n")[0] + "; see `blackstart drill --help`"
    lines = [" ".join(line.split()) for line in said.split(LISTED)]
    sys.stderr.write(f"blackstart: {LISTED.join(lines)}\n")
    return int(pytest.ExitCode.USAGE_ERROR)


if __name__ == "__main__":
    sys.exit(pytest.main(plugins=[OneLine()]))
