"""Record folder of a drill: `record.json`, `journal.jsonl`, `ledger.jsonl`, `inputs/`, `phases.svg`, `logs/`."""

import re
import secrets
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from harness.core.clock import SYSTEM
from harness.core.errors import Unreadable, UsageError
from harness.core.record import DrillRecord
from harness.evidence.format.chain import WITHDRAWN, add
from harness.evidence.format.record_file import RECORD, read_record, written
from harness.evidence.report.pages import waterfall

INPUTS = "inputs"
JOURNAL, LEDGER = "journal.jsonl", "ledger.jsonl"

__all__ = ["RecordFolder", "commit_of", "read_record", "read_records", "records"]

Show = Callable[["RecordFolder", DrillRecord], None]


@dataclass(frozen=True, slots=True)
class RecordFolder:
    """The folder with the evidence of one drill. `show`: called with the record once it is written."""

    path: Path
    show: Show = field(default=lambda _folder, _record: None, repr=False)

    @property
    def witness(self) -> Path:
        """File beside the records that keeps what was seen of the repository."""
        return self.path.parent / "witness.json"

    @classmethod
    def make(cls, root: Path, drill: str, show: Show = lambda _folder, _record: None) -> Self:
        """Create `<root>/drills/<stamp>-<drill>/`; raises UsageError when it cannot be created."""
        stamp = SYSTEM.wall().strftime("%Y%m%dT%H%M%SZ")
        name = re.sub(r"[^a-z0-9]+", "-", drill.lower()).strip("-")[:60]
        path = root / "drills" / f"{stamp}-{name}-{secrets.token_hex(2)}"
        try:
            (path / "logs").mkdir(parents=True)
        except OSError as error:
            raise UsageError(
                f"{root}: the record cannot be written there ({error.strerror}); name another folder with --reports"
            ) from None
        return cls(path, show)

    @property
    def logs(self) -> Path:
        """Return the folder for the logs of nodes."""
        return self.path / "logs"

    def write(self, record: DrillRecord) -> Path:
        """Write record and picture; return the path of `record.json`."""
        (self.path / "phases.svg").write_text(waterfall(record), encoding="utf-8")
        target, half = self.path / RECORD, self.path / f".{RECORD}"
        half.write_bytes(written(record))
        half.replace(target)  # a reader, or whoever kills this process, never has half a record
        return target

    def publish(self, record: DrillRecord) -> DrillRecord:
        """Write a concluded record and show it; return it as every reader gets it."""
        final = read_record(self.write(record))
        self.show(self, final)
        return final

    def withdraw(self) -> None:
        """Remove a record that was opened and will not be concluded; journal and logs stay."""
        for name in (RECORD, "phases.svg"):
            (self.path / name).unlink(missing_ok=True)
        add(self.path.parent, WITHDRAWN, self.path.name)

    def keep(self, inputs: Mapping[str, bytes]) -> None:
        """Write copies of the files that decide a drill to `inputs/`: feature, budgets, declarations."""
        for name, content in inputs.items():
            target = self.path / INPUTS / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def records(root: Path) -> tuple[Path, ...]:
    """Return the record folders under `root`, oldest first."""
    return tuple(sorted(p.parent for p in (root / "drills").glob(f"*/{RECORD}")))


def read_records(root: Path) -> tuple[dict[str, DrillRecord], tuple[str, ...]]:
    """Return the records under `root` by the names of their folders, oldest first, and a line for each left out.

    Left out is one that cannot be read, and a copy of another: a run that was copied is still one run.
    """
    found: dict[str, DrillRecord] = {}
    lines, seen = [], dict[bytes, str]()
    for folder in records(root):
        try:
            record = read_record(folder)
            original = seen.setdefault(written(record), folder.name)
        except Unreadable as error:
            lines.append(str(error))
            continue
        if original == folder.name:
            found[folder.name] = record
        else:
            lines.append(f"{folder}: a copy of {original}, which counts once")
    return found, tuple(lines)


def is_concluded(folder: Path) -> bool:
    """Return whether a record folder has a record with a verdict that was judged, not that of an interrupted run."""
    try:
        return read_record(folder).finished is not None
    except Unreadable:
        return False


def commit_of(folder: Path) -> str:
    """Return the git commit of `folder`, with `+changes` if files are modified; `unknown` without git."""
    git = shutil.which("git")
    if not git:
        return "unknown"
    answers = [
        subprocess.run([git, "-C", str(folder), *args], capture_output=True, text=True, check=False)
        for args in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
    ]
    if any(answer.returncode for answer in answers):
        return "unknown"
    return answers[0].stdout.strip() + ("+changes" if answers[1].stdout.strip() else "")
