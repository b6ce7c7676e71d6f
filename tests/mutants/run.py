"""Runs the mutants: `make mutants`, or `make mutants SAMPLE=10` for some of them.

One guard, oracle or injection at a time is taken away, and the tests that should notice are run until the first fails.
`benchmarks/results/mutants.jsonl` has a row for each mutant with the test that noticed it: that one is run first. A
mutant without a row, and one that neither this test nor those of its file or package notice, is tried with all tests
that need what it takes away (`reached.py`), a fault with the drills that inject it too. Rows are written as they come.
Ends with 1 below a kill rate of 100 %.
"""

from __future__ import annotations

import argparse
import random
import re
import secrets
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from benchmarks import page
from tests.mutants import wall
from tests.mutants.catalogue import ROOT, Bar, Mutant, mutants
from tests.mutants.forks import Forks, Tries, chosen
from tests.mutants.reached import Needs, needs_in, record
from tests.mutants.rows import KILLED, LATE, SURVIVED, UNTRIED, Row, rows, write
from tests.mutants.sites import Kind

AT_ONCE = 2  # mutants at the same time, by default
ONE_TEST = 60  # seconds for one test: a loop without its bound never ends
UNIT = ("-m", "not engine")
# All but those that run mutants or tests themselves, and those of packages that have no mutant.
APART = ("mutants", "kills", "house", "museum", "package", "fuzz")
TESTS = ("tests", *(f"--ignore=tests/{name}" for name in APART))


def neighbours(mutant: Mutant) -> tuple[str, ...]:
    """Return the tests whose names say that they are of a file, or those of its folder."""
    if mutant.kind is Kind.INJECTOR:
        return ("tests/scenario",)
    parts = Path(mutant.path).with_suffix("").parts
    folder = Path("tests", *(parts[1:-1] if parts[0] == "harness" else parts[:1]))
    near = folder / f"test_{parts[-1]}.py"
    if (ROOT / near).is_file():
        return (near.as_posix(), folder.as_posix())
    while not (ROOT / folder).is_dir():
        folder = folder.parent
    return (folder.as_posix(),) if folder != Path("tests") else ()


def drills_of(mutant: Mutant) -> tuple[str, ...]:
    """Return the features that inject the fault of a mutant, none for another mutant."""
    phrase = mutant.name.removeprefix("fault ")
    files = sorted((ROOT / "features").rglob("*.feature")) if mutant.kind is Kind.INJECTOR else ()
    return tuple(file.relative_to(ROOT).as_posix() for file in files if phrase in file.read_text(encoding="utf-8"))


def tries_of(mutant: Mutant, before: Row | None, reached: Needs | None) -> Iterator[Sequence[str]]:
    """Yield the names of tests to run, the most likely first. `reached`: None before all tests have run once."""
    if before is not None and before.outcome == KILLED:
        yield (before.by,)
    near = neighbours(mutant)
    if reached is None:
        yield near
        return
    for tests in (reached.needed, reached.called):
        yield [test for test in tests if chosen(test, near)]
        yield [test for test in tests if not chosen(test, near)]


def noticed(tries: Mapping[Mutant, Tries], at_once: int, kept: Callable[[Row], None]) -> dict[Mutant, Row]:
    """Run the tests of each mutant in one process of pytest with a child for each; return the rows.

    `kept` is called with each row as it comes. A mutant without tests has survived, or would need a container engine.
    """
    found = {one: Row(one.name, one.kind, UNTRIED if any(tries[one]) else engine(one) or SURVIVED) for one in tries}

    def told(mutant: Mutant, outcome: str, by: str, took: float) -> None:
        kind_of_end = outcome if outcome == KILLED or mutant.bar is not Bar.ENGINE else mutant.bar
        found[mutant] = Row(mutant.name, mutant.kind, kind_of_end, by, round(took, 1))
        kept(found[mutant])

    forks = Forks({one: groups for one, groups in tries.items() if any(groups)}, at_once, told)
    places = {name.partition("::")[0] for groups in tries.values() for names in groups for name in names}
    there = sorted(place for place in places if (ROOT / place).exists())
    if there:
        with tempfile.TemporaryDirectory() as folder:
            options = ["-q", "-p", "no:cacheprovider", "-o", f"timeout={ONE_TEST}", f"--basetemp={folder}/tests"]
            pytest.main([*options, *UNIT, *there], plugins=[forks])
    return found


def run(
    able: Sequence[Mutant],
    known: Mapping[str, Row],
    reached: Mapping[str, Needs] | None,
    kept: Callable[[Row], None],
    at_once: int = AT_ONCE,
) -> Mapping[Mutant, Row]:
    """Run mutants; return the row of each. A fault that no unit test notices is tried with its drills."""
    tests = {one: None if reached is None else reached.get(one.name, Needs()) for one in able}
    found = noticed({one: tuple(tries_of(one, known.get(one.name), tests[one])) for one in able}, at_once, kept)
    left = [one for one, row in found.items() if row.outcome == SURVIVED and drills_of(one)]
    if reached is not None:
        found |= noticed({one: (drills_of(one),) for one in left}, 1, kept)
    return found


def told(found: Sequence[Row], every: int) -> int:
    """Print the kill rate by kind and each survivor; return the exit code."""
    counts = Counter((row.kind, row.outcome) for row in found)
    for kind in Kind:
        killed, survived = counts[kind, KILLED], counts[kind, SURVIVED]
        print(f"{kind}s: {killed} of {killed + survived} killed")
    for bar, count in Counter(row.outcome for row in found if row.outcome not in (KILLED, SURVIVED)).items():
        print(f"not run: {count}, each {bar}")
    survivors = [row for row in found if row.outcome == SURVIVED]
    for row in survivors:
        print(f"SURVIVED {row.name}")
    tried = sum(row.outcome in (KILLED, SURVIVED) for row in found)
    rate = (tried - len(survivors)) / tried if tried else 0.0
    print(f"kill rate {rate:.1%} of {tried} mutants; there are {every}")
    left = any(row.outcome in (UNTRIED, LATE, Bar.UNSAFE) for row in found)
    return 0 if rate == 1 and not left else 1


def engine(mutant: Mutant) -> str:
    """Return why no test notices a mutant without a container engine, "" for one that needs none."""
    return mutant.bar if mutant.bar is Bar.ENGINE else ""


def was_tried(row: Row) -> bool:
    """Return whether the tests of a mutant have run."""
    return row.outcome in (KILLED, SURVIVED)


def without_wall() -> str:
    """Return why the mutants that could do harm are not run on this machine, which is printed; "" where they are."""
    if why := wall.obstacle():
        print(f"no wall can be made on this machine, for mutants that could do harm: {why}")
    return why


def main() -> None:
    """Run what was asked for; what is no sample is written into the rows, as it comes, and into the page."""
    parser = argparse.ArgumentParser(description="Take away one guard, oracle or injection at a time.")
    parser.add_argument("--sample", type=int, metavar="N", help="N mutants, chosen by --seed")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="by default another one each time")
    parser.add_argument("--only", default="", metavar="PATTERN", help="mutants whose name has it")
    parser.add_argument("--survivors", action="store_true", help="mutants that no test has noticed yet")
    parser.add_argument("--untried", action="store_true", help="mutants that no run has come to yet")
    parser.add_argument("--reached", type=Path, metavar="FILE", help="what some tests need: the mutants in it alone")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, metavar="N", help="mutants at the same time")
    asked = parser.parse_args()
    every, known = mutants(), rows()
    before = {one: known[one.name].outcome if one.name in known else UNTRIED for one in every}
    given = needs_in(asked.reached.read_text(encoding="utf-8")) if asked.reached else None
    unfinished = {UNTRIED, *before.values()} - {KILLED, SURVIVED}
    no_wall = without_wall()
    wanted = {SURVIVED, *unfinished} if asked.survivors else unfinished if asked.untried else None
    able = [one for one in every if re.search(asked.only, one.name) and not (no_wall and one.bar is Bar.UNSAFE)]
    able = [one for one in able if wanted is None or before[one] in wanted]
    if given is not None:
        able = [one for one in able if one.name in given]
    if asked.sample:
        print(f"seed {asked.seed}")
        able = [one for one in able if before[one] == KILLED]
        print(f"of {len(able)} that a test notices; docs/BENCHMARKS.md has the others")
        able = random.Random(asked.seed).sample(able, min(asked.sample, len(able)))  # noqa: S311 - no secret
    table = {one.name: known.get(one.name, Row(one.name, one.kind, UNTRIED)) for one in every}
    table |= {one.name: Row(one.name, one.kind, engine(one)) for one in every if engine(one) and before[one] != KILLED}
    barred = [Row(one.name, one.kind, one.bar) for one in every if no_wall and one.bar is Bar.UNSAFE]

    def keep(row: Row) -> None:
        table[row.name] = row
        if not asked.sample:  # beside another run, which has written rows since
            write((table | {name: one for name, one in rows().items() if name in table} | {row.name: row}).values())

    if given is not None:  # what these tests do not notice, others may
        found = dict(run(able, known, given, lambda row: keep(row) if row.outcome == KILLED else None, asked.at_once))
        untried = {
            one: Row(one.name, one.kind, engine(one) or UNTRIED) for one in found if found[one].outcome != KILLED
        }
        found |= untried
    else:
        found = dict(run([one for one in able if before[one] == KILLED], known, None, lambda _row: None, asked.at_once))
        for row in found.values():
            keep(row)
        left = [one for one in able if one not in found or found[one].outcome != KILLED]
        if left and not asked.sample:
            found |= run(left, {}, record((*UNIT, *TESTS)), keep, asked.at_once)
    for row in filter(was_tried, found.values()):
        keep(row)
    if not asked.sample:
        page.write()
    rest = [row for row in barred if re.search(asked.only, row.name) and not asked.sample]
    sys.exit(told([*found.values(), *rest], len(every)))


if __name__ == "__main__":
    main()
