"""Rows of the benchmarks, kept in `results/`, and tables of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks/results"
Rows = Sequence[dict[str, Any]]


def rows_of(name: str) -> Rows:
    """Return the rows of one benchmark, oldest first; none where it never ran."""
    file = RESULTS / f"{name}.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.is_file() else []


def of_newest_day(rows: Rows) -> Rows:
    """Return the rows of the newest day among them."""
    newest = max((row["at"][:10] for row in rows), default="")
    return [row for row in rows if row["at"].startswith(newest)]


def add(name: str, row: DataclassInstance) -> None:
    """Add a row to those of a benchmark."""
    with (RESULTS / f"{name}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(row)) + "\n")


def spread(figures: Iterable[float | None], digits: int = 1) -> str:
    """Return the median, with the least and the most where there are several."""
    known = [figure for figure in figures if figure is not None]
    if len(known) < 2:  # noqa: PLR2004
        return f"{known[0]:.{digits}f}" if known else "-"
    return f"{median(known):.{digits}f} ({min(known):.{digits}f} to {max(known):.{digits}f})"


def table(head: Iterable[str], lines: Iterable[Iterable[str]]) -> list[str]:
    """Return the lines of a table."""
    first = list(head)
    return [f"| {' | '.join(first)} |", "|---" * len(first) + "|", *(f"| {' | '.join(line)} |" for line in lines)]
