"""What became of each mutant, as rows of `benchmarks/results/mutants.jsonl`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from tests.mutants.catalogue import ROOT

RESULTS = ROOT / "benchmarks/results/mutants.jsonl"


KILLED, SURVIVED, UNTRIED = "killed", "survived", "not tried yet"  # what is never run has the reason as its outcome
LATE = "out of time"  # its tests took longer than a mutant may: no result


@dataclass(frozen=True, slots=True)
class Row:
    """One mutant: its name, what became of it, the test that noticed it, and the seconds that took."""

    name: str
    kind: str
    outcome: str
    by: str = ""
    seconds: float = 0.0


def rows() -> Mapping[str, Row]:
    """Return the rows that are committed, by mutant."""
    if not RESULTS.is_file():
        return {}
    found = (Row(**json.loads(line)) for line in RESULTS.read_text(encoding="utf-8").splitlines())
    return {row.name: row for row in found}


def write(found: Iterable[Row]) -> None:
    """Write the rows, by name, all at once: another run may read them."""
    lines = (json.dumps(asdict(row), ensure_ascii=False) for row in sorted(found, key=lambda row: row.name))
    part = RESULTS.with_suffix(f".{os.getpid()}")
    part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    part.replace(RESULTS)
