"""A step whose assertion is never carried out, or always true, asserts nothing."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from fixtures.verdict.feature_rules import asserts_nothing
from tests.attacks.own_drills import STEPS, drill, own

pytestmark = pytest.mark.attacks
USAGE = 4
THEN = '    note("t")\n    assert Path("ran").is_file()\n'
EMPTY = {
    "a tuple": 'assert (False, "the promise is broken")',
    "a constant": 'assert "the promise is good"',
    "in a function that nobody calls": "def check():\n        assert False\n    return check",
    "in a lambda": "return lambda: fail()",
    "in a class": "class Check:\n        def __init__(self):\n            assert False",
    "never reached": "if False:\n        assert False",
    "never reached, otherwise": "if 1:\n        kept = True\n    else:\n        assert False",
}
FULL = {
    "false": "assert False",
    "an empty tuple": "assert ()",
    "a comparison": "kept = 1\n    assert kept == 1",
    "a call": "check()",
    "raised": "if kept:\n        raise ValueError",
    "reached": "if True:\n        assert kept",
    "reached, otherwise": "if 0:\n        kept = True\n    else:\n        assert kept",
}


@pytest.mark.filterwarnings("ignore:assertion is always true")
@pytest.mark.parametrize(("name", "empty"), [*((name, True) for name in EMPTY), *((name, False) for name in FULL)])
def test_what_can_never_fail_is_known_by_its_source(tmp_path: Path, name: str, empty: bool) -> None:
    file = tmp_path / "steps_of_a_reader.py"
    file.write_text(f"def step():\n    {(EMPTY | FULL)[name]}\n")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert asserts_nothing(module.step) is empty


@pytest.mark.parametrize("name", ["a tuple", "in a function that nobody calls", "never reached"])
def test_a_drill_with_such_a_step_is_not_started(tmp_path: Path, name: str) -> None:
    """It ended with exit code 0."""
    folder = own(tmp_path / "own")
    assert THEN in STEPS
    (folder / "conftest.py").write_text(STEPS.replace(THEN, f"    {EMPTY[name]}\n"))
    done = drill(folder)
    assert (done.returncode, "its step asserts nothing" in done.stderr) == (USAGE, True), done.stdout + done.stderr
    assert not (folder / "ran").exists()
