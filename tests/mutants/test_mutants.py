"""Mutants are found in the code, and each takes away one thing."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from textwrap import dedent

import pytest

from tests.mutants import wall
from tests.mutants.catalogue import ROOT, Bar, Mutant, bar_of, mutants, mutated
from tests.mutants.forks import chosen
from tests.mutants.hook import sitecustomize
from tests.mutants.reached import Needs, needs_in, record
from tests.mutants.rows import KILLED, SURVIVED, UNTRIED, Row
from tests.mutants.run import noticed, told, tries_of
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


def test_what_noticed_a_mutant_before_is_tried_first_then_its_file_and_its_folder() -> None:
    mutant = Mutant(Kind.ORACLE, "harness/core/judge.py doubts: x", "harness/core/judge.py")
    before = Row(mutant.name, mutant.kind, KILLED, "tests/core/test_judge.py::test_x[1]")
    near = ("tests/core/test_judge.py", "tests/core")
    assert list(tries_of(mutant, before, None)) == [(before.by,), near]
    lines = f"{mutant.name}\tcalled\ttests/drill/a.py::c\n{mutant.name}\tneeded\ttests/drill/a.py::b\n"
    lines += f"{mutant.name}\tneeded\ttests/core/test_x.py::a\n{mutant.name}\tneeded\t\n"
    reached = needs_in(lines)[mutant.name]
    found = [test for group in tries_of(mutant, None, reached) for test in group]
    assert found == ["tests/core/test_x.py::a", "tests/drill/a.py::b", "tests/drill/a.py::c"]


def test_a_mutant_that_no_test_needs_has_survived_without_a_run() -> None:
    mutant = Mutant(Kind.GUARD, "harness/core/judge.py doubts: x", "harness/core/judge.py")
    assert noticed({mutant: tuple(tries_of(mutant, None, Needs()))}, 1, lambda _row: None)[mutant].outcome == SURVIVED


@pytest.mark.parametrize(("call", "told"), [("guard(4)", ["size > 3"]), ("guard(2)", ["require_even", "size > 5"])])
def test_a_probed_guard_tells_that_it_is_needed(call: str, told: list[str]) -> None:
    tree = ast.parse(CODE)
    for site in sites_in("x.py", tree, oracle=False, conditions=False):
        site.probe(site.name)
    seen: list[str] = []

    def called(name: str, _guard: object) -> None:
        seen.append(name)

    space = {"_mutant_reached": seen.append, "_mutant_called": called, "Refused": ValueError}
    exec(compile(ast.fix_missing_locations(tree), "x.py", "exec"), space)  # noqa: S102 - the text above
    with suppress(ValueError):
        eval(call, space)  # noqa: S307 - a constant text
    assert [any(what in name for what in told) for name in seen] == [True] * len(told)


@pytest.mark.parametrize("form", [tuple, list, iter])
@pytest.mark.parametrize(("lines", "how"), [((), {"called"}), (("wrong",), {"needed"})])
def test_a_test_needs_an_oracle_that_finds_something_in_it(
    form: Callable[[tuple[str, ...]], Iterable[str]],
    lines: tuple[str, ...],
    how: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "reached").touch()
    monkeypatch.setenv(sitecustomize.FILE, str(tmp_path / "reached"))
    name = f"x.py lines: {form} {lines}"
    assert tuple(sitecustomize.found(name)(lambda: form(lines))()) == lines
    told = {line.split("\t")[1] for line in (tmp_path / "reached").read_text().splitlines()}
    assert told >= how
    assert ("needed" in told) is bool(lines)


@pytest.mark.night
def test_tests_tell_what_they_need_in_child_processes_too(tmp_path: Path) -> None:
    code = "import os, subprocess, sys\ndef test_it():\n"
    code += f"    env = os.environ | {{'PYTHONPATH': {str(ROOT)!r}}}\n"
    code += (
        "    code = 'from harness.core.loss import measure_loss as m; from harness.core.ledger import Ledger as L'\n"
    )
    code += "    subprocess.run([sys.executable, '-c', code + '; m(L(()), frozenset(), 0.0)'], env=env, check=True)\n"
    (tmp_path / "test_child.py").write_text(code)
    found = record(("-c", os.devnull, f"--rootdir={tmp_path}", str(tmp_path / "test_child.py")))
    assert found["harness/core/loss.py measure_loss: not owed"] == Needs(needed=("test_child.py::test_it",))


def test_one_survivor_is_red_and_what_cannot_be_run_is_counted_apart(capsys: pytest.CaptureFixture[str]) -> None:
    killed, bar = Row("one", Kind.GUARD, KILLED, "t"), Row("three", Kind.GUARD, Bar.ENGINE)
    assert told([killed, bar], 3) == 0
    assert "kill rate 100.0% of 1 mutants" in capsys.readouterr().out
    assert told([killed, bar, Row("two", Kind.GUARD, SURVIVED)], 3) == 1
    assert "SURVIVED two" in capsys.readouterr().out
    assert told([], 3) == 1
    assert told([killed, Row("four", Kind.GUARD, UNTRIED)], 3) == 1
    assert told([killed, Row("five", Kind.GUARD, Bar.UNSAFE)], 3) == 1
    assert "this machine can make no wall" in capsys.readouterr().out


def test_a_name_selects_its_parameters_and_not_what_begins_alike() -> None:
    assert chosen("tests/a.py::test_x[1]", ("tests/a.py::test_x",))
    assert chosen("tests/a.py::test_x[1]", ("tests",))
    assert not chosen("tests/a.py::test_xy", ("tests/a.py::test_x",))
    assert bar_of("harness/substrate/sweep.py require_run: x") is Bar.UNSAFE


REMOVE = "import os, sys; os.remove(sys.argv[1])"


def behind(scratch: Path, work: Callable[[], object]) -> int:
    """Do something behind the wall; return the exit code of the process, 9 where it raised."""
    if not (pid := os.fork()):
        try:
            wall.enter(scratch)
            work()
        except BaseException:  # noqa: BLE001 - nothing of the parent's may run here
            os._exit(9)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    if why := wall.obstacle():
        pytest.fail(f"this machine can make no wall: {why}")
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


def test_behind_the_wall_nothing_outside_can_be_changed(scratch: Path) -> None:
    kept = scratch.parent / "kept"
    kept.write_text("before")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        tried_behind_the_wall(scratch, kept, other)


def tried_behind_the_wall(scratch: Path, kept: Path, other: subprocess.Popen[bytes]) -> None:
    tries: dict[str, Callable[[], object]] = {
        "written": lambda: kept.write_text("after"),
        "removed": kept.unlink,
        "made": (ROOT / "made-by-a-mutant").touch,
        "moved": lambda: kept.rename(kept.with_name("elsewhere")),
        "killed": lambda: os.kill(other.pid, 9),
        "of a child": lambda: subprocess.run(
            [sys.executable, "-c", f"import os; os.remove({str(kept)!r})"], check=True
        ),
    }
    for number, (name, work) in enumerate(tries.items()):
        (own := scratch / str(number)).mkdir()
        assert (name, behind(own, work)) == (name, 9)
    assert (kept.read_text(), other.poll(), (ROOT / "made-by-a-mutant").exists()) == ("before", None, False)


def test_behind_the_wall_the_own_folder_can_be_changed(scratch: Path) -> None:
    assert behind(scratch, lambda: (scratch / "made").write_text("here")) == 0
    assert (scratch / "made").read_text() == "here"


def test_a_wall_with_a_hole_is_noticed_before_a_mutant_is_run(scratch: Path) -> None:
    with pytest.raises(AssertionError, match="can be written behind the wall"):
        wall.require_closed(scratch)
