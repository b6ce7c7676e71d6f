"""`make kill-matrix`: every change of a drill and of restore tests, killed before and after it, swept, looked for.

The changes are those of the undo journal of a clean run. After each kill: the record, `blackstart sweep` twice, what is
left. The next run starts in the same folder, so that each shows that the one before left nothing in its way; the last
one is not killed. Runs share no preparation, as the sweep removes all that the one before had made. A row each goes to
`benchmarks/results/kill_matrix.jsonl`; with `--rest` only kills without a row are made. Ends with 1 when anything is
left.
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
from tests.kills.works import ROOT, WORKS, Work

RESULTS = ROOT / "benchmarks/results/kill_matrix.jsonl"
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
    """Raise SystemExit when a run that was not killed has no verdict, or left something."""
    record, left = work.newest(), left_by(work, before)
    if record.get("finished") in (None, "not concluded") or left:
        raise SystemExit(
            f"{work.name}: a run that was not killed ended with {code} {record.get('reasons')}, left {left}"
        )


def main() -> None:
    """Carry out the kills that were asked for, and print each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("works", nargs="*", default=[*WORKS], help=", ".join(WORKS))
    parser.add_argument("--sample", type=int, default=0, help="this many kills of each work, instead of all")
    parser.add_argument("--start", type=int, default=1, help="number of the first change")
    parser.add_argument("--rest", action="store_true", help="only kills that have no row yet: in several sittings")
    asked = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    bad = 0
    for name in asked.works:
        with tempfile.TemporaryDirectory(prefix="kills-") as home, WORKS[name](Path(home)) as work:
            for row in matrix(work, asked.sample, asked.start, recorded(work.name) if asked.rest else ()):
                if not asked.sample:
                    with RESULTS.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
                what = f"{row.moment} {row.mutation} [{row.phase}]: {row.found} things"
                print(f"{what}, left {row.left or 'nothing'}; {row.verdict}", flush=True)
                bad += bool(row.residue) or "concluded" in row.verdict or row.verdict not in ("", "UNKNOWN")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
