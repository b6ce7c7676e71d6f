"""Changes modules of the project while Python imports them, in a run of tests and in its child processes.

With BLACKSTART_MUTANT one guard, oracle or injection is taken away. With BLACKSTART_REACHED, the path of a file, none
is, and each test that needs one of them adds a line to the file: the mutant, how it was needed, and the test.
"""

from __future__ import annotations

import builtins
import functools
import importlib.abc
import importlib.machinery
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

NAME = "BLACKSTART_MUTANT"
FILE = "BLACKSTART_REACHED"
TEST = "PYTEST_CURRENT_TEST"
OPTIONS, PLAIN = "PYTEST_ADDOPTS", "--assert=plain"  # pytest would load its plugins, `fixtures`, itself otherwise
HOOK = Path(__file__).resolve().parent
ROOT = HOOK.parents[2]
PACKAGES = ("harness", "fixtures")


class MutatingLoader(importlib.machinery.SourceFileLoader):
    """Compiles the changed tree of the module; bytecode is neither read nor written."""

    def get_code(self, fullname: str) -> CodeType:
        from tests.mutants.catalogue import mutated, path_of, probed  # noqa: PLC0415 - not in a process that imports nothing of it

        source = self.get_data(self.path).decode()
        if name := os.environ.get(NAME):
            tree = mutated(path_of(name), source, name)
        else:
            tree = probed(Path(self.path).relative_to(ROOT).as_posix(), source)
        return compile(tree, self.path, "exec", dont_inherit=True)


class MutatingFinder(importlib.abc.MetaPathFinder):
    """Finds the one module with its mutating loader, all modules of the project when there is none."""

    def __init__(self, module: str) -> None:
        self.module = module

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.module if self.module else fullname.partition(".")[0] not in PACKAGES:
            return None
        found = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if found is None or found.origin is None or not found.origin.startswith(f"{ROOT}{os.sep}"):
            return found
        loader = MutatingLoader(fullname, found.origin)
        folders = found.submodule_search_locations
        return importlib.util.spec_from_file_location(
            fullname, found.origin, loader=loader, submodule_search_locations=folders
        )


_written = set[str]()


def reached(name: str, how: str = "needed") -> None:
    """Write that the running test needs a guard, an oracle or an injection."""
    line = f"{name}\t{how}\t{os.environ.get(TEST, '').rpartition(' (')[0]}\n"
    if line not in _written:
        _written.add(line)
        with suppress(OSError):  # a program in a mount namespace of its own
            descriptor = os.open(os.environ[FILE], os.O_WRONLY | os.O_APPEND)
            os.write(descriptor, line.encode())
            os.close(descriptor)


def called(name: str, guard: Callable[[], object]) -> object:
    """Call a guard; write that the test needs it when it raises, else that it was called."""
    try:
        found = guard()
    except BaseException:
        reached(name)
        raise
    reached(name, "called")
    return found


def found(name: str) -> Callable[[Callable[..., Iterable[str]]], Callable[..., Iterable[str]]]:
    """Return a decorator of an oracle: it writes that the test needs it when it finds a line, else that it was called.

    What it decorates returns lines, or yields them.
    """

    def decorate(oracle: Callable[..., Iterable[str]]) -> Callable[..., Iterable[str]]:
        @functools.wraps(oracle)
        def asked(*args: Any, **more: Any) -> Iterable[str]:
            lines = oracle(*args, **more)
            if isinstance(lines, list | tuple):
                reached(name, "needed" if lines else "called")
                return lines
            reached(name, "called")
            return _told(name, lines)

        return asked

    return decorate


def _told(name: str, lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        reached(name)
        yield line


def with_hook(environment: dict[str, str]) -> dict[str, str]:
    """Return the environment of a child process of a test with this hook, when it is one of the project's code."""
    path = environment.get("PYTHONPATH", "")
    if str(ROOT) not in path.split(os.pathsep):
        return environment
    ours = {name: os.environ[name] for name in (NAME, FILE, TEST, OPTIONS) if name in os.environ}
    return {**environment, **ours, "PYTHONPATH": f"{HOOK}{os.pathsep}{path}"}


def _with_hooked_children() -> None:
    """Give child processes the hook, also those whose PYTHONPATH a test sets."""
    made = subprocess.Popen.__init__

    def make(self: Any, *args: Any, **more: Any) -> None:
        if more.get("env") is not None:
            more["env"] = with_hook(more["env"])
        made(self, *args, **more)

    subprocess.Popen.__init__ = make  # type: ignore[method-assign]
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join((str(HOOK), str(ROOT), *filter(None, paths)))


def install() -> None:
    """Change what the environment names; without a name nothing is changed."""
    if name := os.environ.get(NAME):
        file = "harness/scenario/faults/fault.py" if name.startswith("fault ") else name.partition(" ")[0]
        module = file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    elif os.environ.get(FILE):
        vars(builtins).update(_mutant_reached=reached, _mutant_called=called, _mutant_found=found)
        module = ""
    else:
        return
    if module.startswith("fixtures.") or not module:
        os.environ[OPTIONS] = PLAIN
    sys.meta_path.insert(0, MutatingFinder(module))
    _with_hooked_children()


install()
