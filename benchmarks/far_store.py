"""A store that is far away and overloaded: `python -m benchmarks.far_store [--megabytes 1000] [--rounds 5] [--record]`.

The same backup is written and read through one proxy before a real store, once as it is (`clean`) and once with 50 ms
before each answer and every hundredth call answered with 503 (`far`). Both sides of a round run one after the other, in
turning order; each direction is a process of its own.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import page
from benchmarks.memory import DIRECTIONS, in_a_process_of_its_own, store_in
from benchmarks.rows import add
from harness.core.clock import SYSTEM
from harness.core.node import Address
from tests.kills.store.proxy import Proxy, proxy

DELAY = 0.05  # seconds
ONE_OF = 100
SIDES = ("clean", "far")
OBJECTS = 4


@dataclass(frozen=True, slots=True)
class Row:
    """One run. `wall`, `cpu`: seconds; `calls`: of the store; `refused`: of them, with 503; `memory`: MiB."""

    at: str
    processors: int
    load: float
    megabytes: int
    round: int
    side: str
    direction: str
    wall: float
    cpu: float
    calls: int
    refused: int
    memory: float


def run(before: Proxy, folder: Path, megabytes: int, number: int, side: str) -> list[Row]:
    """Write and read a backup through the proxy; return both rows."""
    before.delay, before.refuses = (DELAY, ONE_OF) if side == "far" else (0.0, 0)
    found = []
    for direction in DIRECTIONS:
        load, calls, refused = os.getloadavg()[0], len(before.calls), before.refused
        done = in_a_process_of_its_own(direction, folder, megabytes, OBJECTS)
        calls, refused = len(before.calls) - calls, before.refused - refused
        at = SYSTEM.wall().isoformat(timespec="seconds")
        row = Row(
            at, os.cpu_count() or 0, round(load, 1), megabytes, number, side, direction,
            round(done.wall_s, 2), round(done.cpu_s, 2), calls, refused, round(done.peak_mib),
        )  # fmt: skip
        print(f"round {number}: {side}: {direction}: {row.wall} s, {calls} calls, {refused} refused", flush=True)
        found.append(row)
    return found


def rounds(folder: Path, megabytes: int, wanted: int) -> list[Row]:
    """Run all rounds, each with a store of its own; return their rows."""
    found: list[Row] = []
    for number in range(wanted):
        for side in SIDES if number % 2 == 0 else SIDES[::-1]:
            home = folder / f"{number}-{side}"
            home.mkdir()
            with store_in(home):
                host, _, port = (home / "address").read_text().partition(":")
                with proxy(Address(host, int(port))) as before:
                    (home / "address").write_text(str(before.address))
                    found += run(before, home, megabytes, number, side)
    return found


def main() -> None:
    """Run the rounds, print the medians, and add the rows where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--record", action="store_true", help="add the rows to results/far_store.jsonl")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="blackstart-benchmark-") as made:
        found = rounds(Path(made), asked.megabytes, asked.rounds)
    for direction in DIRECTIONS:
        clean, far = ([row.wall for row in found if (row.side, row.direction) == (side, direction)] for side in SIDES)
        ratios = [b / a for a, b in zip(clean, far, strict=True)]
        print(f"{direction}: clean {median(clean):.1f} s, far {median(far):.1f} s: {median(ratios):.2f} times as long")
    if asked.record:
        for row in found:
            add("far_store", row)
        page.write()


if __name__ == "__main__":
    main()
