"""The pytest plugin that is loaded wherever blackstart is installed, and that does nothing where no drills are.

Where the folder that pytest runs in, or its root, holds an `estate.toml`, where a feature that comes with blackstart is
named, and with `-p blackstart`, it loads the steps and the fixtures: `pytest features/` then runs drills, and a folder
of your own needs no conftest.py. Everywhere else it imports nothing, adds no option and takes no feature file.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
PACKAGED = HERE / "harness" / "bundle"  # as in harness.parts.places, of which nothing is imported in vain
FILES = PACKAGED if PACKAGED.is_dir() else HERE
MARK = "estate.toml"


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Load steps and fixtures where drills are to be run."""
    if not is_asked_for(early_config):
        return
    if str(FILES) not in sys.path:
        sys.path.insert(0, str(FILES))  # their packages are called `steps` and `fixtures`, and are found nowhere else
    early_config.pluginmanager.import_plugin("fixtures.plugin")


def is_asked_for(config: pytest.Config) -> bool:
    """Return whether this run of pytest is one of drills."""
    here, root = config.invocation_params.dir, config.rootpath
    homes = {here, root, root.parent}
    for word in config.invocation_params.args:
        path = (here / str(word).split("::", 1)[0]).resolve()
        homes |= {folder.parent for folder in (path, *path.parents) if folder.name == "features"}
    plugins = config.known_args_namespace.plugins
    return __name__ in plugins or FILES in homes or any((home / MARK).is_file() for home in homes)
