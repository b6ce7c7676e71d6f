"""`docs/BENCHMARKS.md`, written from all rows of `results/`: `python -m benchmarks.page`."""

from __future__ import annotations

from benchmarks.repository.table import museum, profile, repository
from benchmarks.rows import ROOT, rows_of
from benchmarks.sections.backups import far_store, logical, memory, quick_verify, start, tenants
from benchmarks.sections.drills import big_estate, ci, clusters, leftovers, site_loss, versions
from benchmarks.sections.kills import kill_matrix, mutants, store_kills

PAGE = ROOT / "docs/BENCHMARKS.md"
SECTIONS = (
    *(site_loss, big_estate, clusters, leftovers),
    *(repository, profile, museum, logical, far_store, quick_verify, tenants, memory, start),
    *(mutants, kill_matrix, store_kills, ci, versions),
)


def write() -> None:
    """Write the page. Each section is of the rows of the benchmark of its name."""
    lines = ["# Benchmarks", "", "Medians, with least and most of the runs, written by `python -m benchmarks.page`."]
    for section in SECTIONS:
        lines += section(rows_of(section.__name__))
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
