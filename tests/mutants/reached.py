"""Which tests need a guard, an oracle or an injection: only they can notice that it is missing.

All tests run once, and code that the hook has changed tells where a guard refuses, an oracle is asked or a fault is
injected, in child processes too. A mutant that no test needs has survived without a run of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.catalogue import ROOT
from tests.mutants.hook.sitecustomize import FILE, HOOK


@dataclass(frozen=True, slots=True)
class Needs:
    """Needs of one mutant. `needed`: the guard refused something; `called`: it was called and let it pass."""

    needed: tuple[str, ...] = ()
    called: tuple[str, ...] = ()


def needs_in(lines: str) -> Mapping[str, Needs]:
    """Return the tests by the name of the mutant, from the lines that the hook has written."""
    found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for line in lines.splitlines():
        name, how, test = line.split("\t")
        if test:  # else the collection of tests
            found.setdefault(name, ({}, {}))[how == "called"][test] = None
    return {name: Needs(tuple(needed), tuple(called)) for name, (needed, called) in found.items()}


def record(options: tuple[str, ...]) -> Mapping[str, Needs]:
    """Run tests with pytest's options once; return the tests by the name of the mutant."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "reached"
        file.touch()
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={folder}/tests"]
        environment = os.environ | {FILE: str(file), "PYTHONPATH": f"{HOOK}{os.pathsep}{ROOT}"}
        subprocess.run([*command, *options], cwd=ROOT, env=environment, check=False)  # a test may fail: it told
        return needs_in(file.read_text(encoding="utf-8"))
