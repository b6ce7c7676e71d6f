"""Runs the mutants: `make mutants`, or `make mutants SAMPLE=10` for some of them.

One guard, oracle or injection at a time is taken away, and the tests that should notice are run until the first fails.
`benchmarks/results/mutants.jsonl` has a row for each mutant with the test that noticed it: that one is run first. A
mutant without a row, and one that this test does not notice, is tried with the tests of its file or package, then with
those of all packages that use it, a fault with the drills that inject it. Ends with 1 below a kill rate of 100 %.
"""

from __future__ import annotations

import argparse
import random
import re
import secrets
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from benchmarks import page
from tests.mutants.catalogue import ROOT, Mutant, mutants
from tests.mutants.forks import Forks
from tests.mutants.rows import KILLED, SURVIVED, UNTRIED, Row, rows, write
from tests.mutants.sites import Kind

AT_ONCE = 2  # mutants at the same time
ONE_TEST = 60  # seconds for one test: a loop without its bound never ends
# Where the whole of blackstart is tried, in memory.
WIDE = tuple(f"tests/{name}" for name in ("backup", "recovery", "restore_test", "drill", "scenario", "estate"))
CASES = ("tests/cases",)  # on real servers: the slowest come last
UNIT = ("-m", "not engine")


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


def tries_of(mutant: Mutant, before: Row | None, *, near: bool) -> Iterator[Sequence[str]]:
    """Yield the names of tests to run, the most likely first. `near`: none but what noticed it and its package's."""
    if before is not None and before.outcome == KILLED:
        yield (before.by,)
    yield neighbours(mutant)
    if mutant.kind is not Kind.INJECTOR and not near:
        yield WIDE
        yield CASES


def noticed(tries: Mapping[Mutant, Sequence[Sequence[str]]], at_once: int) -> dict[Mutant, Row]:
    """Run the tests of each mutant in one process of pytest with a child for each; return the rows."""
    if not tries:
        return {}
    forks = Forks(tries, at_once)
    places = {name.partition("::")[0] for groups in tries.values() for names in groups for name in names}
    there = sorted(place for place in places if (ROOT / place).exists())
    with tempfile.TemporaryDirectory() as folder:
        options = ["-q", "-p", "no:cacheprovider", "-o", f"timeout={ONE_TEST}", f"--basetemp={folder}/tests"]
        pytest.main([*options, *UNIT, *there], plugins=[forks])
    found = {}
    for mutant in tries:
        by, took = forks.noticed.get(mutant, ("", 0.0))
        outcome = KILLED if by else SURVIVED if mutant in forks.noticed else UNTRIED  # pytest was ended before
        found[mutant] = Row(mutant.name, mutant.kind, outcome, by, round(took, 1))
    return found


def run(chosen: Sequence[Mutant], known: Mapping[str, Row], *, near: bool) -> Sequence[Row]:
    """Run mutants; return the row of each. A fault that no unit test notices is tried with its drills."""
    able = [one for one in chosen if not one.bar]
    found = noticed({one: tuple(tries_of(one, known.get(one.name), near=near)) for one in able}, AT_ONCE)
    left = [one for one, row in found.items() if row.outcome == SURVIVED and drills_of(one)]
    found |= noticed({one: (drills_of(one),) for one in left}, 1)
    return [*found.values(), *(Row(one.name, one.kind, one.bar) for one in chosen if one.bar)]


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
    untried = any(row.outcome == UNTRIED for row in found)
    return 0 if rate == 1 and not untried else 1


def main() -> None:
    """Run what was asked for; what is no sample is written into the rows and the page."""
    parser = argparse.ArgumentParser(description="Take away one guard, oracle or injection at a time.")
    parser.add_argument("--sample", type=int, metavar="N", help="N mutants, chosen by --seed")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="by default another one each time")
    parser.add_argument("--only", default="", metavar="PATTERN", help="mutants whose name has it")
    parser.add_argument("--survivors", action="store_true", help="mutants that no test has noticed yet")
    asked = parser.parse_args()
    every, known = mutants(), rows()
    chosen = [one for one in every if re.search(asked.only, one.name)]
    if asked.survivors:
        chosen = [one for one in chosen if one.name not in known or known[one.name].outcome in (SURVIVED, UNTRIED)]
    if asked.sample:
        print(f"seed {asked.seed}")
        able = [one for one in chosen if one.name in known and known[one.name].outcome == KILLED and not one.bar]
        print(f"of {len(able)} that a test notices; docs/BENCHMARKS.md has the others")
        chosen = random.Random(asked.seed).sample(able, min(asked.sample, len(able)))  # noqa: S311 - no secret
    found = run(chosen, known, near=bool(asked.sample))
    if not asked.sample:
        kept = {one.name: known.get(one.name, Row(one.name, one.kind, one.bar or UNTRIED)) for one in every}
        write((kept | {row.name: row for row in found}).values())
        page.write()
    sys.exit(told(found, len(every)))


if __name__ == "__main__":
    main()
