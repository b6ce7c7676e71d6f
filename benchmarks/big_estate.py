"""Site loss of an estate with a large database, restored both ways: `python -m benchmarks.big_estate`.

The drills of `mode = "physical"` (base backup and WAL) and of `mode = "logical"` (dumps) take turns, embedded, on the
example estate with a bulk database of `--megabytes`. The RTO is from the strike until every key function holds. A row
a drill is added to `results/big_estate.jsonl`. The dumps are older than the promise allows, so that it is broken.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import page, site_loss
from benchmarks.rows import ROOT, add

MODES = ("physical", "logical")
DECLARED = 'mode = "physical"'
BULK = "bulk_mb = 200"


@dataclass(frozen=True, slots=True)
class Row(site_loss.Row):
    """One drill. `megabytes`: of the bulk database; `mode`: of the backup."""

    megabytes: int
    mode: str
    commit: str


def declared(folder: Path, megabytes: int, mode: str) -> Path:
    """Write the declaration of the example estate with that bulk database and mode, and return the file."""
    text = (ROOT / "estate.toml").read_text(encoding="utf-8")
    if text.count(DECLARED) != 1 or text.count(BULK) != 1:
        raise SystemExit(f"estate.toml: no line {DECLARED}, or none {BULK}")
    file = folder / f"{mode}.toml"
    file.write_text(text.replace(DECLARED, f'mode = "{mode}"').replace(BULK, f"bulk_mb = {megabytes}"))
    return file


def main() -> None:
    """Prepare the estate, run the drills in turn, and write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=1500)
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout  # noqa: S607
    with tempfile.TemporaryDirectory() as folder:
        files = {mode: declared(Path(folder), asked.megabytes, mode) for mode in MODES}
        for file in files.values():
            prepare = [str(Path(sys.executable).with_name("blackstart")), "prepare", "--config", str(file)]
            subprocess.run(prepare, cwd=ROOT, check=True)
        for number in range(asked.runs):
            for mode in MODES if number % 2 == 0 else MODES[::-1]:
                found = site_loss.drill("embedded", f"--estate={files[mode]}")
                row = Row(**asdict(found), megabytes=asked.megabytes, mode=mode, commit=commit.strip())
                print(f"{mode}: {row.verdict}, {row.wall} s, RTO {row.rto}, restore {row.phases}", flush=True)
                add("big_estate", row)
    page.write()


if __name__ == "__main__":
    main()
