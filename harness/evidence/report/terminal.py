"""Terminal output of a drill: progress by phase, and a summary with the verdict."""

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from harness.core.journal import Event
from harness.core.record import DrillRecord
from harness.evidence.report.waterfall import figure

STYLES = {"KEPT": "bold green", "BROKEN": "bold red", "UNKNOWN": "bold yellow"}
SHOWN = ("begin", "failed", "struck", "witness", "selected", "passed over", "status", "stored", "stop", "held", "fired")
BAR = 30
FEW = 5  # things that one line names
STEP = 64 << 20  # bytes from one line of progress to the next


@dataclass(slots=True)
class Progress:
    """Prints a line for each event of the kinds in SHOWN, with the time since the first event."""

    console: Console
    _begun: float | None = None
    _bytes: int = 0
    _printed: int = 0
    _phase: str = ""

    def event(self, event: Event) -> None:
        """Print one event; used as listener of `JournalFile`."""
        if self._begun is None:
            self._begun = event.at
        if event.kind == "begin":
            self._phase, self._bytes, self._printed = event.subject, 0, 0
        if event.kind not in SHOWN:
            return
        facts = "  ".join(f"{k}={v}" for k, v in event.facts.items())
        line = Text.assemble(
            (f"{event.at - self._begun:7.1f} s  ", "dim"),
            (f"{event.message or '':<8}", "cyan"),
            (f"{event.kind:<12}", "bold red" if event.kind in ("failed", "struck", "stop") else ""),
            f"{event.subject}  ",
            (facts, "dim"),
        )
        # A terminal has one line an event; a pipe or a file has all of it.
        whole = not self.console.is_terminal
        self.console.print(line, overflow="ignore" if whole else "ellipsis", no_wrap=True, crop=not whole)

    def bytes(self, count: int) -> None:
        """Count bytes of the current phase, and print a line for every 64 MiB."""
        self._bytes += count
        if self._bytes - self._printed >= STEP:
            self._printed = self._bytes
            self.console.print(Text(f"            {self._phase}: {self._bytes / 1e6:,.0f} MB", style="dim"))


def summary(record: DrillRecord) -> RenderableType:
    """Return the drill's name, its phases if there are any, the verdict line and the reasons."""
    promise = record.promise
    verdict = Text.assemble(
        (record.verdict, STYLES.get(record.verdict, "bold")),
        f"  RTO {figure(record.rto)} of {promise.get('rto_s', '?')} s"
        f" · RPO {figure(record.rpo)} of {promise.get('rpo_s', '?')} s"
        f" · exposure {figure(record.exposure)}"
        f" · {len(record.lost)} of {record.acknowledged} acknowledged writes lost",
        f" · {len(record.diverged)} taken by the old primary alone" if record.diverged else "",
    )
    backup = record.backup.get("id", "none")
    size = f"{record.data_bytes / 1e6:,.0f} MB, {record.data_rows:,} rows"
    lines: list[RenderableType] = [Text(record.drill, style="bold"), *([_phases(record)] if record.phases else [])]
    lines += [verdict, Text(f"backup {backup}, measured at {size}", style="dim")]
    lines += [Text(f"- {reason}", style="red") for reason in record.reasons]
    lines += [Text(line, style="dim") for line in _coverage(record)]
    return Group(*lines)


def _coverage(record: DrillRecord) -> Iterator[str]:
    """Yield one line for each kind of thing that is covered, is not, or was not compared."""
    if record.covered:
        yield f"covered by the backup: {len(record.covered)} databases, volumes and buckets"
    for heading, found in (
        ("not covered", record.uncovered),
        ("excluded", record.excluded),
        ("referenced, and not on the DR site", record.lost_objects),
        ("not compared", record.not_compared),
        ("assertions", record.assertions),
    ):
        if found:
            yield f"{heading}: {'; '.join(found[:FEW])}{f' and {len(found) - FEW} more' if len(found) > FEW else ''}"


def _phases(record: DrillRecord) -> Table:
    figures = (Column(name, justify="right") for name in ("seconds", "from fault"))
    table = Table("phase", *figures, Column("", no_wrap=True))
    total = record.rto or max((p.end for p in record.phases), default=0.0) or 1.0
    for phase in record.phases:
        before, width = int(BAR * phase.begin / total), max(1, round(BAR * phase.took / total))
        table.add_row(phase.name, f"{phase.took:.1f}", f"{phase.end:.1f}", " " * before + "█" * width)
    return table
