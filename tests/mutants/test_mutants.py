"""Mutants are found in the code, and each takes away one thing."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tests.mutants.catalogue import ROOT, Bar, Mutant, bar_of, mutants, mutated
from tests.mutants.forks import chosen
from tests.mutants.hook import sitecustomize
from tests.mutants.rows import KILLED, SURVIVED, UNTRIED, Row
from tests.mutants.run import CASES, WIDE, told, tries_of
from tests.mutants.sites import Kind, sites_in

CODE = dedent('''
    def guard(size):
        """Refuse what is large."""
        if size > 3:
            raise Refused("too large")
        if size < 0:
            raise ValueError("negative")
        require_even(size)
        for _ in range(9):
            size += 1
            if size > 5:
                break
        return size

    def lines() -> tuple[str, ...]:
        return ("wrong",)

    def collects(bad):
        found = []
        if bad:
            found.append("bad")
        found += [f"line {n}" for n in range(2)]
        return found
''')


def names(*, oracle: bool, conditions: bool) -> list[str]:
    found = sites_in("x.py", ast.parse(CODE), oracle=oracle, conditions=conditions)
    return [f"{site.kind}: {site.name.removeprefix('x.py ')}" for site in found]


def test_every_refusal_bound_and_called_guard_is_a_mutant() -> None:
    wanted = ["guard: guard: size > 3", "guard: guard: require_even(size)", "guard: guard: size > 5"]
    assert names(oracle=False, conditions=False) == wanted


def test_a_comparison_returns_nothing_and_each_condition_of_the_judge_is_one() -> None:
    assert "oracle: lines: finds nothing" in names(oracle=True, conditions=False)
    found = names(oracle=True, conditions=True)
    assert [name for name in found if "collects" in name] == ["oracle: collects: bad", "oracle: collects: f'line {n}'"]


@pytest.mark.parametrize(
    ("what", "call", "left"),
    [
        ("guard: size > 3", "guard(4)", 6),
        ("guard: size > 5", "guard(2)", 11),
        ("lines: finds nothing", "lines()", ()),
        ("collects: bad", "collects(True)", ["line 0", "line 1"]),
        ("collects: f'line {n}'", "collects(True)", ["bad"]),
    ],
)
def test_a_mutant_takes_away_one_thing(what: str, call: str, left: object) -> None:
    tree = ast.parse(CODE)
    found = [site for both in (True, False) for site in sites_in("x.py", tree, oracle=True, conditions=both)]
    next(site for site in found if site.name == f"x.py {what}").apply()
    space: dict[str, object] = {"require_even": lambda _size: None}
    exec(compile(ast.fix_missing_locations(tree), "x.py", "exec"), space)  # noqa: S102 - the text above
    assert eval(call, space) == left  # noqa: S307 - a constant text


def test_every_mutant_of_the_project_can_be_compiled() -> None:
    every = mutants()
    assert {mutant.kind for mutant in every} == set(Kind)
    assert len({mutant.name for mutant in every}) == len(every)
    files = {path: (ROOT / path).read_text(encoding="utf-8") for path in {mutant.path for mutant in every}}
    for mutant in every[::7]:
        changed = mutated(mutant.path, files[mutant.path], mutant.name)
        assert ast.dump(changed) != ast.dump(ast.parse(files[mutant.path])), mutant
        compile(changed, mutant.path, "exec")


def test_a_mutant_that_does_not_exist_is_no_run() -> None:
    with pytest.raises(LookupError, match="no mutant"):
        mutated("harness/core/judge.py", "", "harness/core/judge.py doubts: nonsense")


def test_a_child_process_has_the_mutant_as_well() -> None:
    code = "from harness.core.ledger import Ledger; from harness.core.loss import measure_loss\n"
    code += "print(measure_loss(Ledger(()), frozenset(), 0.0).everything)"
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join((str(Path(sitecustomize.__file__).parent), str(ROOT))),
        "BLACKSTART_MUTANT": "harness/core/loss.py measure_loss: not owed",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert "IndexError" in done.stderr, done
    environment["BLACKSTART_MUTANT"] = ""
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, env=environment) == b"False\n"


def test_what_noticed_a_mutant_before_is_tried_first_and_the_slow_tests_never_in_a_sample() -> None:
    mutant = Mutant(Kind.ORACLE, "harness/core/judge.py doubts: x", "harness/core/judge.py")
    before = Row(mutant.name, mutant.kind, KILLED, "tests/core/test_judge.py::test_x[1]")
    near = [(before.by,), ("tests/core/test_judge.py", "tests/core")]
    assert list(tries_of(mutant, before, near=True)) == near
    assert list(tries_of(mutant, None, near=False)) == [*near[1:], WIDE, CASES]


def test_one_survivor_is_red_and_what_cannot_be_run_is_counted_apart(capsys: pytest.CaptureFixture[str]) -> None:
    killed, bar = Row("one", Kind.GUARD, KILLED, "t"), Row("three", Kind.GUARD, Bar.ENGINE)
    assert told([killed, bar], 3) == 0
    assert "kill rate 100.0% of 1 mutants" in capsys.readouterr().out
    assert told([killed, bar, Row("two", Kind.GUARD, SURVIVED)], 3) == 1
    assert "SURVIVED two" in capsys.readouterr().out
    assert told([], 3) == 1
    assert told([killed, Row("four", Kind.GUARD, UNTRIED)], 3) == 1


def test_a_name_selects_its_parameters_and_not_what_begins_alike() -> None:
    assert chosen("tests/a.py::test_x[1]", ("tests/a.py::test_x",))
    assert chosen("tests/a.py::test_x[1]", ("tests",))
    assert not chosen("tests/a.py::test_xy", ("tests/a.py::test_x",))
    assert bar_of("harness/substrate/sweep.py require_run: x") is Bar.UNSAFE
