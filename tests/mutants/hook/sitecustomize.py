"""Changes one module of the project while Python imports it, in a run of tests and in its child processes."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from types import CodeType, ModuleType

NAME = "BLACKSTART_MUTANT"


class MutatingLoader(importlib.machinery.SourceFileLoader):
    """Compiles the changed tree of the module; bytecode is neither read nor written."""

    def get_code(self, fullname: str) -> CodeType:
        from tests.mutants.catalogue import mutated, path_of  # noqa: PLC0415 - not in a process that imports nothing of it

        name = os.environ[NAME]
        source = self.get_data(self.path).decode()
        return compile(mutated(path_of(name), source, name), self.path, "exec", dont_inherit=True)


class MutatingFinder(importlib.abc.MetaPathFinder):
    """Finds the one module with its mutating loader."""

    def __init__(self, module: str) -> None:
        self.module = module

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.module:
            return None
        found = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if found is None or found.origin is None:
            return found
        return importlib.util.spec_from_file_location(
            fullname, found.origin, loader=MutatingLoader(fullname, found.origin)
        )


def install() -> None:
    """Change what the environment names; without a name nothing is changed."""
    if name := os.environ.get(NAME):
        file = "harness/scenario/faults/fault.py" if name.startswith("fault ") else name.partition(" ")[0]
        sys.meta_path.insert(0, MutatingFinder(file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")))


install()
