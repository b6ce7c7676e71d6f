"""Site loss of an estate with a large database, restored both ways: `python -m benchmarks.big_estate`.

The drills of `mode = "physical"` (base backup and WAL) and of `mode = "logical"` (dumps) take turns, embedded, on the
example estate with a bulk database of `--megabytes`. The RTO is from the strike until every key function holds. A row
a drill is added to `results/big_estate.jsonl`. The dumps are older than the promise allows, so that it is broken.
`--older FOLDER`: a checkout of 0d3e3ec, the version before base backups, in which `make setup` was run. Its dumps take
turns with the two; the size of its bulk database is written into its `estate.toml`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import page, site_loss
from benchmarks.rows import ROOT, add
from benchmarks.versions import version_of
from harness.core.clock import SYSTEM

MODES = ("physical", "logical")
OLDER = "logical, before base backups"
DECLARED = 'mode = "physical"'
BULK = "bulk_mb = 200"


@dataclass(frozen=True, slots=True)
class Row(site_loss.Row):
    """One drill. `megabytes`: of the bulk database; `mode`: of the backup; `commit`: of this checkout in any case."""

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


def older_drill(folder: Path) -> site_loss.Row:
    """Run the drill of the older checkout and return its row: its record has names of its own. Raises SystemExit."""
    with tempfile.TemporaryDirectory() as reports, site_loss.peak() as most:
        words = [".venv/bin/python", "-m", "pytest", "-q", "features/estate/site_loss.feature", f"--reports={reports}"]
        load, begun = os.getloadavg()[0], SYSTEM.monotonic()
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
        wall, found = SYSTEM.monotonic() - begun, sorted(Path(reports).rglob("record.json"))
        if not found:
            raise SystemExit(f"{folder}: no record (exit code {done.returncode}):\n{done.stdout[-2000:]}")
        record = json.loads(found[-1].read_text(encoding="utf-8"))
    phases = {one["name"]: round(one["end"] - one["begin"], 2) for one in record["phases"]}
    at = SYSTEM.wall().isoformat(timespec="seconds")
    head = (at, os.cpu_count() or 0, round(load, 1), "embedded", record["verdict"], round(wall, 1))
    return site_loss.Row(*head, record["rto"], record["rpo"], phases, most[0])


def main() -> None:
    """Prepare the estate, run the drills in turn, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1500)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--older", type=Path, help="a checkout of the version before base backups")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = {mode: declared(Path(folder), asked.megabytes, mode) for mode in MODES}
        places = dict.fromkeys(files.values(), ROOT)
        modes: tuple[str, ...] = MODES
        if asked.older:
            estate, modes = asked.older.resolve() / "estate.toml", (*MODES, OLDER)
            text, count = re.subn(r"(?m)^bulk_mb = \d+$", f"bulk_mb = {asked.megabytes}", estate.read_text("utf-8"))
            if count != 1:
                raise SystemExit(f"{estate}: no line `bulk_mb = ...`")
            estate.write_text(text, encoding="utf-8")
            places[estate] = estate.parent
        for file, place in places.items():
            prepare = [str(place / ".venv/bin/blackstart"), "prepare", "--config", str(file)]
            subprocess.run(prepare, cwd=place, check=True)
        commit = version_of(ROOT)
        for number in range(asked.runs):
            for mode in modes if number % 2 == 0 else modes[::-1]:
                if mode in files:
                    found = site_loss.drill("embedded", f"--estate={files[mode]}")
                else:
                    found = older_drill(asked.older.resolve())
                row = Row(**asdict(found), megabytes=asked.megabytes, mode=mode, commit=commit)
                print(f"{mode}: {row.verdict}, {row.wall} s, RTO {row.rto}, restore {row.phases}", flush=True)
                add("big_estate", row)
    page.write()


if __name__ == "__main__":
    main()
