"""Commands of blackstart, and drills by pytest, as forks of a process that has imported what they need: each is a
process of its own, without seconds of imports.

`python -m tests.forks blackstart|pytest` reads a command as a line of JSON, and answers with its number and its exit
code.
"""

from __future__ import annotations

import ast
import atexit
import gc
import json
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Lock

from tests.nested import OPTIONS

ROOT = Path(__file__).resolve().parents[1]
COMMAND = (sys.executable, "-c", "from harness.cli import main; main()")
OF_DRILLS = (*OPTIONS, "-p", "blackstart")
DRILLS = (sys.executable, "-m", "pytest", *OF_DRILLS)
# What a process reads as it starts, or as it imports: a command for which one differs is not forked.
AT_START = ("PYTHON", "LC_", "LANG", "BLACKSTART_PATIENCE")
Ended = subprocess.CompletedProcess[str]


@dataclass(slots=True)
class Forks:
    """Starts commands, one at a time. `environment`: that of the process which forks."""

    process: subprocess.Popen[str]
    environment: dict[str, str]
    free: Lock = field(default_factory=Lock)

    def serves(self, environment: Mapping[str, str]) -> bool:
        """Return whether a command with this environment may be a fork."""
        if self.process.poll() is not None:
            return False
        names = {name for name in (*environment, *self.environment) if name.startswith(AT_START)}
        return all(environment.get(name) == self.environment.get(name) for name in names)

    def run(
        self, folder: Path, words: Sequence[str], env: Mapping[str, str], begun: Callable[[int], object] = id
    ) -> Ended:
        """Run a command in a folder to its end; return how it ended. `env`: all of it; `begun`: is told its number."""
        with tempfile.TemporaryDirectory() as scratch:
            said, errors = Path(scratch, "said"), Path(scratch, "errors")
            asked = {
                "words": words,
                "folder": str(folder),
                "outputs": (str(said), str(errors)),
                "environment": dict(env),
            }
            assert self.process.stdin is not None
            try:
                print(json.dumps(asked), file=self.process.stdin, flush=True)
                begun(self._answer())
                code = self._answer()
            except BaseException:  # interrupted: what it answers next would be of this command
                self.process.kill()
                raise
            return Ended(list(words), code, said.read_text(), errors.read_text())

    def _answer(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())


@contextmanager
def forks(program: str = "blackstart", **env: str) -> Iterator[Forks]:
    """Yield the starter of commands, which have this environment too; it ends with its input."""
    environment = environment_of(env)
    command, pipe = (sys.executable, "-m", __name__, program), subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stdin=pipe, stdout=pipe) as process:
        yield Forks(process, environment)


@cache
def _started(program: str) -> Forks:
    """Return the starter for all tests of this process."""
    context = forks(program)
    atexit.register(context.__exit__, None, None, None)
    return context.__enter__()


def run(folder: Path, *words: str, **env: str) -> Ended:
    """Run a command of blackstart in a folder to its end, without input, and return how it ended."""
    return _run("blackstart", COMMAND, folder, words, env)


def run_drills(folder: Path, *words: str, **env: str) -> Ended:
    """Run pytest on the drills of a folder to its end, as a reader of the project does, and return how it ended."""
    return _run("pytest", DRILLS, folder, words, env)


def environment_of(env: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment, with the project's modules and with `env`."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **env}


def _run(program: str, command: Sequence[str], folder: Path, words: Sequence[str], env: Mapping[str, str]) -> Ended:
    environment = environment_of(env)
    started = _started(program)
    if started.serves(environment) and started.free.acquire(blocking=False):
        try:
            return started.run(folder, words, environment)
        finally:
            started.free.release()
    nothing = subprocess.DEVNULL
    return subprocess.run(
        [*command, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False, stdin=nothing
    )


def imported(file: Path) -> Iterator[str]:
    """Yield the modules that commands of a file import when they run."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("harness."):
            yield node.module or ""


def become(words: Sequence[str], folder: str, outputs: Sequence[str], environment: Mapping[str, str]) -> None:
    """Take over what a new process with this command has."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    for number, path in enumerate(outputs, 1):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, number)
        os.close(file)
    sys.argv[1:] = words


def answer(number: int) -> None:
    """Write a line with a number."""
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def import_commands() -> Callable[[], object]:
    """Import what commands of blackstart need; return the function that carries out the one of `sys.argv`."""
    for file in sorted(ROOT.glob("harness/cli/*.py")):
        for module in imported(file):
            import_module(module)
    sys.argv[0] = "blackstart"
    main: Callable[[], object] = import_module("harness.cli").main
    return main


def import_drills() -> Callable[[], object]:
    """Import what drills need, as pytest does; return the function that carries out those of `sys.argv`."""
    with tempfile.TemporaryDirectory() as empty, Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        os.chdir(empty)
        if import_module("pytest").main([*OF_DRILLS, "--help"]):
            raise RuntimeError("pytest does not load the steps of drills")

    def carry_out() -> None:
        sys.path[0] = str(Path.cwd())  # as `python -m` does
        sys.argv[1:1] = OF_DRILLS
        runpy.run_module("pytest", run_name="__main__")

    return carry_out


def main(program: str) -> Callable[[], object] | None:
    """Serve until the input ends; return in each fork, with what it is to do."""
    carry_out = {"blackstart": import_commands, "pytest": import_drills}[program]()
    gc.freeze()  # a fork does not look at what it has of this process
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if not pid:
            become(**asked)
            return carry_out
        answer(pid)
        answer(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    return None


if __name__ == "__main__":
    carry_out = main(sys.argv[1])
    if carry_out is not None:
        carry_out()
