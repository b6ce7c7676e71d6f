"""Plugin of pytest: forks a child for each mutant, which runs the tests that should notice it.

All tests are collected once. A child changes the code of what is loaded already and leaves the rest to the hook, which
changes a module when it is imported; so do the child processes of tests. It ends with the first test that fails.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol

from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError
from harness.substrate.common import ports
from tests.mutants import wall
from tests.mutants.catalogue import ROOT, Bar, Mutant, mutated
from tests.mutants.hook.sitecustomize import NAME, install
from tests.mutants.rows import KILLED, LATE, SURVIVED
from tests.mutants.sites import Kind

PATIENCE = 600.0  # seconds for all tests of one mutant
CRASHED = 70  # exit code of a child that is no result
TIMED_OUT = 1  # that of one whose test pytest-timeout ended
STARTED, FAILED = "?", "!"
TOGETHER = 20  # tests that one child runs without a mutant
Tries = Sequence[Sequence[str]]  # groups of names of tests, the most likely first


@dataclass(slots=True)
class Child:
    """A running child. `pipe`: it writes STARTED and the name of each test before it, FAILED and the name after it."""

    mutant: Mutant | None
    pid: int
    pipe: int
    began: float
    said: bytes = b""
    code: int = 0
    late: bool = False

    @property
    def failed(self) -> tuple[str, ...]:
        """The tests that failed, and the one at which pytest-timeout ended the process."""
        lines = self.said.decode().splitlines()
        failed = [line[1:] for line in lines if line.startswith(FAILED)]
        begun = [line[1:] for line in lines if line.startswith(STARTED)]
        return (*failed, *(begun[-1:] if self.code == TIMED_OUT else ()))


@dataclass(slots=True)
class Forks:
    """Runs mutants on the collected tests, those that could do harm behind a wall (`wall.py`).

    `told` is called with each result as it comes: KILLED, SURVIVED or LATE, the test that noticed it, and the seconds.
    `noticed`: by mutant, the test that noticed it, and the seconds until then.
    """

    tries: Mapping[Mutant, Tries]
    at_once: int
    told: Callable[[Mutant, str, str, float], None]
    noticed: dict[Mutant, tuple[str, float]] = field(default_factory=dict)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run all mutants, then the tests that noticed one without any: what fails then as well has noticed nothing."""
        session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
        for child in self._run(session, list(self.tries.items())):
            name, took = next(iter(child.failed), ""), SYSTEM.monotonic() - child.began
            if child.mutant is not None:
                outcome = LATE if child.late else KILLED if name else SURVIVED
                if outcome == KILLED:
                    self.noticed[child.mutant] = (name, took)
                print(f"{outcome} {name}, {took:.1f} s: {child.mutant.name}", flush=True)
                self.told(child.mutant, outcome, name, took)
        for walled in (False, True):
            noticed = {one: by for one, by in self.noticed.items() if (one.bar is Bar.UNSAFE) is walled}
            names = list(dict.fromkeys(name for name, _ in noticed.values()))
            alone = [(None, (names[begin : begin + TOGETHER],)) for begin in range(0, len(names), TOGETHER)]
            for child in self._run(session, alone, walled=walled):
                for mutant, (name, took) in noticed.items():
                    if name in child.failed:
                        print(f"{name} fails without a mutant as well: {mutant.name}", flush=True)
                        self.told(mutant, SURVIVED, "", took)
        return True

    def _run(
        self, session: pytest.Session, every: Sequence[tuple[Mutant | None, Tries]], *, walled: bool = False
    ) -> Iterator[Child]:
        waiting, running = list(every), list[Child]()
        while waiting or running:
            while waiting and len(running) < self.at_once:
                running.append(self._fork(session, *waiting.pop(0), walled=walled))
            ready, _, _ = select.select([child.pipe for child in running], [], [], 1.0)
            for child in list(running):
                child.late = SYSTEM.monotonic() - child.began > PATIENCE
                if child.pipe in ready and (data := os.read(child.pipe, 65536)):
                    child.said += data
                elif child.pipe in ready or child.late:
                    running.remove(child)
                    _end(child)
                    yield child

    def _fork(self, session: pytest.Session, mutant: Mutant | None, tries: Tries, *, walled: bool) -> Child:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid:
            os.close(writing)
            return Child(mutant, pid, reading, SYSTEM.monotonic())
        try:
            os.setsid()
            _silence()
            folder = _separate(session)
            if walled or (mutant is not None and mutant.bar is Bar.UNSAFE):
                wall.enter(folder)
            if mutant is not None:
                apply(mutant)
            for line in failures(session, tries):
                os.write(writing, f"{line}\n".encode())
                if mutant is not None and line.startswith(FAILED):
                    break
            session._setupstate.teardown_exact(None)
        except BaseException:  # noqa: BLE001 - nothing of the parent's may run here
            os._exit(CRASHED)
        os._exit(0)


def _end(child: Child) -> None:
    with suppress(ProcessLookupError):  # programs that a test did not end are in its group
        if child.late:  # no result: slow tests are no sign of a mutant
            child.said = b""
        os.killpg(child.pid, signal.SIGKILL)
    _, status = os.waitpid(child.pid, 0)
    os.close(child.pipe)
    child.code = os.waitstatus_to_exitcode(status)
    if child.code == CRASHED:
        raise HarnessError(f"the process that runs the tests of {child.mutant} has failed")


def _silence() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)


def _separate(session: pytest.Session) -> Path:
    """Give a child ports and a folder for temporary files of its own, which is returned: it runs beside others."""
    ports.take_other_blocks()
    factory = session.config._tmp_path_factory  # type: ignore[attr-defined]
    factory._basetemp = factory.getbasetemp() / str(os.getpid())
    factory._basetemp.mkdir()
    return Path(factory._basetemp).resolve()


def failures(session: pytest.Session, tries: Tries) -> Iterator[str]:
    """Run tests by groups of names; yield the name of each after STARTED, and after FAILED when it fails."""
    done = set[str]()
    for names in tries:
        items = [item for item in session.items if item.nodeid not in done and chosen(item.nodeid, names)]
        items.sort(key=lambda item: item.get_closest_marker("programs") is not None)  # the quick ones first
        for item, following in zip_longest(items, items[1:]):
            done.add(item.nodeid)
            yield STARTED + item.nodeid
            if any(report.failed for report in runtestprotocol(item, log=False, nextitem=following)):
                yield FAILED + item.nodeid


def chosen(nodeid: str, names: Sequence[str]) -> bool:
    """Return whether a test has one of the names: its own, or that of its function, file or folder."""
    return any(nodeid == name or nodeid.startswith((f"{name}::", f"{name}/", f"{name}[")) for name in names)


def apply(mutant: Mutant) -> None:
    """Change this process: what is loaded at once, the rest when it is imported."""
    os.environ[NAME] = mutant.name
    install()
    if mutant.kind is Kind.INJECTOR:
        from harness.scenario.faults.catalog import CATALOG  # noqa: PLC0415 - after the fork

        fault = CATALOG[mutant.name.removeprefix("fault ")]
        object.__setattr__(fault, "inject", lambda _scene: None)
        return
    file = ROOT / mutant.path
    tree = mutated(mutant.path, file.read_text(encoding="utf-8"), mutant.name)
    changed = {(code.co_qualname, code.co_firstlineno): code for code in codes(compile(tree, str(file), "exec"))}
    for one in [thing for thing in gc.get_objects() if isinstance(thing, types.FunctionType)]:
        code = one.__code__
        new = changed.get((code.co_qualname, code.co_firstlineno))
        if new is not None and Path(code.co_filename) == file and new.co_freevars == code.co_freevars:
            one.__code__ = new


def codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield a code object and all inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes(constant)
