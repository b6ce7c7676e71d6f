"""Record folder of a drill: `record.json`, `journal.jsonl`, `ledger.jsonl`, `phases.svg`, `logs/`."""

import hashlib
import json
import re
import secrets
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from harness.core.clock import SYSTEM
from harness.core.errors import Unreadable, UsageError
from harness.core.judge import Phase
from harness.core.record import FORMAT, DrillRecord, FindingEntry, KeyResult, SeenMessage
from harness.evidence.report.pages import waterfall

Show = Callable[["RecordFolder", DrillRecord], None]

# Fields that older records of this format lack.
LATER = ("diverged", "covered", "uncovered", "excluded", "not_compared", "assertions", "controls", "unmet")


@dataclass(frozen=True, slots=True)
class RecordFolder:
    """The folder with the evidence of one drill. `show`: called with the record once it is written."""

    path: Path
    show: Show = field(default=lambda _folder, _record: None, repr=False)

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
        target = self.path / "record.json"
        target.write_text(json.dumps(asdict(record), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return target

    def publish(self, record: DrillRecord) -> None:
        """Write a concluded record and show it."""
        self.write(record)
        self.show(self, record)

    def withdraw(self) -> None:
        """Remove a record that was opened and will not be concluded; journal and logs stay."""
        for name in ("record.json", "phases.svg"):
            (self.path / name).unlink(missing_ok=True)


def read_record(path: Path) -> DrillRecord:
    """Return the record in a `record.json` or in a record folder; raises Unreadable."""
    file = path / "record.json" if path.is_dir() else path
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise Unreadable(f"{file}: format {data['format']!r} is not {FORMAT!r}; use the version that wrote it")
        parts = {"phases": Phase, "key_results": KeyResult, "messages": SeenMessage, "findings": FindingEntry}
        for name, kind in parts.items():
            data[name] = tuple(kind(**row) for row in data[name])
        for name in ("reasons", "lost", "phantom", "repeated", "lost_objects", "not_drilled"):
            data[name] = tuple(data[name])
        for name in LATER:
            data[name] = tuple(data.get(name, ()))
        data["passed_over"] = tuple((a, b) for a, b in data["passed_over"])
        return DrillRecord(**data)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unreadable(f"{file}: not a drill record ({error})") from None


def records(root: Path) -> tuple[Path, ...]:
    """Return the record folders under `root`, oldest first."""
    return tuple(sorted(p.parent for p in (root / "drills").glob("*/record.json")))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


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
