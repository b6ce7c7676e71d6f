"""`make kill-matrix`: a drill, restore tests and commands on the repository, killed before and after every change.

Of a drill and of restore tests the changes are those of the undo journal of a clean run. After each kill: the record,
`blackstart sweep` twice, what is left. The next run starts in the same folder, so that each shows that the one before
left nothing in its way; the last one is not killed. Runs share no preparation, as the sweep removes all that the one
before had made. A row each goes to `benchmarks/results/kill_matrix.jsonl`.

Of backups, WAL shipping, retention and rewrap the changes are all calls to the object store (`tests.kills.store`), the
rows are in `store_kills.jsonl`. With `--rest` only kills without a row are made. Ends with 1 when anything is left.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.core.clock import SYSTEM
from harness.evidence.record import NOT_CONCLUDED
from tests.kills.store.bench import bench
from tests.kills.store.matrix import Row as StoreRow
from tests.kills.store.matrix import matrix as store_matrix
from tests.kills.store.works import WORKS as STORE_WORKS
from tests.kills.works import ROOT, WORKS, Work

RESULTS, STORE_RESULTS = (ROOT / "benchmarks/results" / name for name in ("kill_matrix.jsonl", "store_kills.jsonl"))
MOMENTS = ("before", "after")


@dataclass(frozen=True, slots=True)
class Row:
    """One kill. `mutation`: what was about to change; `found`: things there after the kill; `left`: after the sweep.

    `verdict`: of the record that the killed run left, "" where it had none yet.
    """

    at: str
    work: str
    phase: str
    mutation: str
    moment: str
    code: int
    verdict: str
    found: int
    residue: int
    left: list[str]
    swept: str


def left_by(work: Work, before: dict[str, object]) -> tuple[str, ...]:
    """Return what a run left on this machine, and what is not on the existing site as it was."""
    after = work.of_site()
    changed = tuple(
        f"{kind} of the site: {describe(before[kind], after[kind])}" for kind in before if before[kind] != after[kind]
    )
    return (*work.residue, *changed)


def describe(before: object, after: object) -> str:
    """Return what is there now and was not, or that it differs."""
    if isinstance(before, set | frozenset) and isinstance(after, set | frozenset):
        return f"{', '.join(sorted(map(str, after - before)))} new; {', '.join(sorted(map(str, before - after)))} gone"
    return "differs"


def kill(work: Work, moment: str, number: int, before: dict[str, object]) -> Row:
    """Kill one run at a change, sweep it, and return what came of it."""
    code, changes = work.start(f"{moment} {number}")
    change = next((one for one in changes if one[0] == str(number)), ["", "none", "it ended before"])
    record, phase = work.newest(), work.phase()
    verdict = str(record.get("verdict", ""))
    if verdict and NOT_CONCLUDED not in list(record["reasons"]):  # type: ignore[call-overload]
        verdict += ", concluded"
    found = len(left_by(work, before))
    said = [work.sweep(), work.sweep()]
    left = left_by(work, before)
    if said[1]:
        left = (*left, f"for a second sweep: {said[1]}")
    at = SYSTEM.wall().isoformat(timespec="seconds")
    mutation = f"{number} {change[1].lower()} {change[2]}"
    return Row(at, work.name, phase, mutation, moment, code, verdict, found, len(left), list(left), said[0])


def recorded(work: str, results: Path = RESULTS) -> frozenset[tuple[str, int]]:
    """Return moment and number of each kill of a work that has a row."""
    rows = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()] if results.exists() else []
    return frozenset((row["moment"], int(row["mutation"].split()[0])) for row in rows if row["work"] == work)


def matrix(
    work: Work, sample: int, start: int = 1, without: Collection[tuple[str, int]] = frozenset()
) -> Iterator[Row]:
    """Yield a row for each kill of a work, all or a sample, but for those of `without`.

    Raises SystemExit when a clean run leaves a thing.
    """
    before = work.of_site()
    code, changes = work.start("")
    clean(work, before, code)
    points = [(moment, number) for number in range(start, len(changes) + 1) for moment in MOMENTS]
    points = [point for point in points if point not in without]
    points.sort(key=lambda point: (point[1] % 2 == 0, point[0] == "before"))  # stopped early, it has seen every phase
    print(f"{work.name}: {len(changes)} changes, {len(points)} kills", flush=True)
    for moment, number in random.sample(points, min(sample, len(points))) if sample else points:
        yield kill(work, moment, number, before)
    code, _ = work.start("")
    clean(work, before, code)


def clean(work: Work, before: dict[str, object], code: int) -> None:
    """Raise SystemExit when a run that was not killed has another verdict than it must have, or left something.

    Of a run that ended early, on an overloaded machine, a matrix would have a part of the changes.
    """
    record, left = work.newest(), left_by(work, before)
    if record.get("verdict") != work.verdict or record.get("finished") is None or left:
        raise SystemExit(
            f"{work.name}: a run that was not killed ended with {code}, verdict {record.get('verdict')} in place of "
            f"{work.verdict}, finished {record.get('finished')}: {record.get('reasons')}, left {left}"
        )


def main() -> None:
    """Carry out the kills that were asked for, and print each."""
    every = [*WORKS, *STORE_WORKS]
    parser = argparse.ArgumentParser()
    parser.add_argument("works", nargs="*", default=every, help=", ".join(every))
    parser.add_argument("--sample", type=int, default=0, help="this many kills of each work, instead of all")
    parser.add_argument("--start", type=int, default=1, help="number of the first change of a drill or restore test")
    parser.add_argument("--rest", action="store_true", help="only kills that have no row yet: in several sittings")
    parser.add_argument("--changes", action="store_true", help="of the calls to a store only those that change it")
    asked = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    bad = 0
    for name in asked.works:
        with tempfile.TemporaryDirectory(prefix="kills-") as home:
            if name in STORE_WORKS:
                bad += killed_at_the_store(name, Path(home), asked.sample, rest=asked.rest, changes=asked.changes)
            else:
                bad += killed_at_changes(name, Path(home), asked.sample, asked.start, rest=asked.rest)
    sys.exit(1 if bad else 0)


def killed_at_changes(name: str, home: Path, sample: int, start: int, *, rest: bool) -> int:
    """Kill a drill or a restore test at its changes; return after how many kills something was wrong."""
    bad = 0
    with WORKS[name](home) as work:
        for row in matrix(work, sample, start, recorded(work.name) if rest else ()):
            keep(row, RESULTS, sample)
            what = f"{row.moment} {row.mutation} [{row.phase}]: {row.found} things"
            print(f"{what}, left {row.left or 'nothing'}; {row.verdict}", flush=True)
            bad += bool(row.residue) or "concluded" in row.verdict or row.verdict not in ("", "UNKNOWN")
    return bad


def killed_at_the_store(name: str, home: Path, sample: int, *, rest: bool, changes: bool) -> int:
    """Kill a command at its calls to the store; return after how many kills something was wrong."""
    bad = 0
    with bench(home) as there:
        work = STORE_WORKS[name](there)
        known = recorded(work.name, STORE_RESULTS) if rest else ()
        for row in store_matrix(there, work, sample, known, changes=changes):
            keep(row, STORE_RESULTS, sample)
            found = "; ".join(filter(None, (*row.wrong, *row.left, row.again, row.restored)))
            what = f"{work.name} {row.moment} {row.mutation}: listed {row.listed}"
            print(f"{what}, reaped {row.reaped}; {found}", flush=True)
            bad += row.bad
    return bad


def keep(row: Row | StoreRow, results: Path, sample: int) -> None:
    """Add a row to the results, unless it is one of a sample."""
    if not sample:
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
