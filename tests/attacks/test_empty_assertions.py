"""A step whose assertion is never carried out, or always true, asserts nothing."""

from __future__ import annotations

import linecache
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

from fixtures.verdict.assertions import nothing_asserted
from tests.attacks.own_drills import STEPS, drill, own

pytestmark = pytest.mark.attacks
USAGE = 4
FILE = """
import contextlib, logging, pytest, sys
from contextlib import suppress as quietly
from harness.core.errors import Finding

LOG = logging.getLogger()

def caught():
    try:
        assert LOG is None
    except AssertionError:
        pass

def answers(kept):
    return kept == 1

def checks(kept):
    assert kept == 1

def noted(error):
    LOG.handle(str(error).strip())

def again(kept):
    if kept:
        again(kept - 1)
    assert kept < 3

"""
THEN = '    note("t")\n    assert Path("ran").is_file()\n'


def bodies(file: str) -> dict[str, str]:
    """Return the bodies of steps in a file, by the comment before each."""
    text = (Path(__file__).parent / "step_bodies" / file).read_text(encoding="utf-8")
    found = (one.partition("\n") for one in text.strip().removeprefix("# ").split("\n# "))
    return {name: body.rstrip() for name, _, body in found}


EMPTY = bodies("never_fail.txt")
FULL = bodies("may_fail.txt")


def said_of(folder: Path, name: str, before: str = "") -> str | None:
    """Return what is said of a step, with a call before its body."""
    file = folder / "steps_of_a_reader.py"
    own = "kept, answers" if "parameter" in name else "kept"
    file.write_text(f"{FILE}def step({own}):\n{indent(before + (EMPTY | FULL)[name], '    ')}\n")
    linecache.clearcache()
    places: dict[str, Any] = {"__name__": file.stem}
    exec(compile(file.read_text(), file, "exec"), places)  # noqa: S102 - written above
    return nothing_asserted(places["step"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", EMPTY)
def test_what_can_never_fail_is_known_by_its_source(tmp_path: Path, name: str) -> None:
    """A call before an assertion of its own does not make up for it."""
    found = said_of(tmp_path, name)
    assert found is not None
    if found:
        assert said_of(tmp_path, name, "note()\n")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FULL)
def test_what_may_fail_is_not_refused(tmp_path: Path, name: str) -> None:
    assert said_of(tmp_path, name) is None


SHORT = """
from functools import partial

class Checks:
    def none(self, record): record == 1
    def one(self, record): assert record == 1

def checks(record, other=0):
    assert record == other

def compares(record, other=0):
    record == other

STEP = (
    {}
)
"""


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("lambda record: record == 'KEPT'", ""),
        ("lambda: None", ""),
        ("(lambda: None, lambda: 1)[1]", ""),
        ("partial(compares, other=1)", ""),
        ("Checks().none", ""),
        ("partial(lambda record: record, 1)", ""),
        ("lambda record: checks(record)", None),
        ("lambda record: sorted(record)", None),
        ("partial(checks, other=1)", None),
        ("partial(partial(checks), 1)", None),
        ("Checks().one", None),
    ],
)
def test_a_step_that_is_no_def_is_looked_into(tmp_path: Path, step: str, said: str | None) -> None:
    file = tmp_path / "steps.py"
    file.write_text(SHORT.format(step))
    space: dict[str, Any] = {"__file__": str(file)}
    exec(compile(file.read_text(), str(file), "exec"), space)  # noqa: S102 - as a conftest is imported
    assert nothing_asserted(space["STEP"]) == said


@pytest.mark.parametrize("name", ["in a function that nobody calls", "in a lambda", "caught", "after a return"])
def test_a_drill_with_such_a_step_is_not_started(tmp_path: Path, name: str) -> None:
    """It ended with exit code 0."""
    folder = own(tmp_path / "own")
    assert THEN in STEPS
    text = EMPTY[name].replace("kept", "Path('x').is_file()")
    (folder / "conftest.py").write_text(STEPS.replace(THEN, f"{indent(text, '    ')}\n"))
    done = drill(folder)
    assert (done.returncode, "its step asserts nothing" in done.stderr) == (USAGE, True), done.stdout + done.stderr
    assert ("its assertion in line" in done.stderr) is (name != "in a lambda")
    assert not (folder / "ran").exists()
