"""Terminal output of a drill: progress by phase, and a summary with the verdict."""

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from harness.core.clock import SYSTEM
from harness.core.journal import Event
from harness.core.record import DrillRecord
from harness.core.text import visible
from harness.evidence.report.view import RecordView, against, view_of

STYLES = {"KEPT": "bold green", "BROKEN": "bold red", "UNKNOWN": "bold yellow"}
SHOWN = ("begin", "failed", "struck", "witness", "selected", "passed over", "status", "stored", "stop", "held", "fired")
BAR = 30
FEW = 5  # things that one line names
STEP = 64 << 20  # bytes from one line of progress to the next, at least
LINES = 20  # of progress, at most


@dataclass(slots=True)
class Progress:
    """Prints a line for each event of the kinds in SHOWN, with the time since the first event."""

    console: Console
    _begun: float | None = None
    _bytes: int = 0
    _printed: int = 0
    _total: int = 0
    _since: float = 0.0
    _phase: str = ""

    def event(self, event: Event) -> None:
        """Print one event; used as listener of `JournalFile`."""
        if self._begun is None:
            self._begun = event.at
        if event.kind == "begin":
            self._phase, self._bytes, self._printed = event.subject, 0, 0
        if "bytes" in event.facts:
            self._phase, self._bytes, self._printed = event.subject, 0, 0
            self._total, self._since = int(str(event.facts["bytes"])), SYSTEM.monotonic()
        if event.kind not in SHOWN:
            return
        facts = visible("  ".join(f"{k}={v}" for k, v in event.facts.items()))
        line = Text.assemble(
            (f"{event.at - self._begun:7.1f} s  ", "dim"),
            (f"{event.message or '':<8}", "cyan"),
            (f"{event.kind:<12}", "bold red" if event.kind in ("failed", "struck", "stop") else ""),
            f"{visible(event.subject)}  ",
            (facts, "dim"),
        )
        # A terminal has one line an event; a pipe or a file has all of it.
        whole = not self.console.is_terminal
        self.console.print(line, overflow="ignore" if whole else "ellipsis", no_wrap=True, crop=not whole)

    def bytes(self, count: int) -> None:
        """Count bytes, and print a line for every 64 MiB, or every twentieth of more: how many, and the time left.

        Of as many as the fact `bytes` of the last event that had it.
        """
        self._bytes += count
        if self._bytes - self._printed >= max(STEP, self._total // LINES):
            self._printed = self._bytes
            left = ""
            if self._total > self._bytes:
                seconds = (SYSTEM.monotonic() - self._since) * (self._total - self._bytes) / self._bytes
                left = f" of {self._total / 1e6:,.0f} MB, about {seconds:,.0f} s left"
            self.console.print(Text(f"            {self._phase}: {self._bytes / 1e6:,.0f} MB{left}", style="dim"))


def summary(record: DrillRecord) -> RenderableType:
    """Return the drill's name, its phases if there are any, the verdict line and the reasons."""
    view = view_of(record)
    verdict = Text.assemble(
        (view.verdict, "bold green" if view.as_expected else STYLES.get(view.verdict, "bold")),
        "" if view.verdict == "KEPT" and view.as_expected else f" {expectation(view)}",
        *(f"{'  ' if one is view.rto else ' · '}{against(one)}" for one in (view.rto, view.rpo, view.exposure)),
        f" · writes lost: {view.losses}",
        f" · {len(view.diverged)} taken by the old primary alone" if view.diverged else "",
    )
    lines: list[RenderableType] = [Text(view.drill, style="bold"), *([_phases(view)] if view.phases else [])]
    measured = f"backup {view.backup or 'none'}, measured at: {view.size}, work of the harness: {view.harness_work}"
    lines += [verdict, Text(measured, style="dim")]
    lines += [Text(f"- {reason}", style="dim" if view.as_expected else "red") for reason in view.reasons]
    lines += [Text(line, style="dim") for line in _coverage(view)]
    return Group(*lines)


def expectation(view: RecordView) -> str:
    """Return `as expected`, or what was expected instead."""
    if view.as_expected:
        return "as expected"
    return "(a check failed after the verdict)" if view.unmet else f"({view.expected or 'KEPT'} expected)"


def _coverage(view: RecordView) -> Iterator[str]:
    """Yield one line for each kind of thing that is covered, is not, or was not compared."""
    if view.covered:
        yield f"covered by the backup: {len(view.covered)} databases, volumes and buckets"
    for heading, found in (
        ("not covered", view.uncovered),
        ("excluded", view.excluded),
        ("referenced, and not on the DR site", view.lost_objects),
        ("not compared", view.not_compared),
        ("assertions", view.assertions),
        ("writes by ledger", view.by_ledger),
    ):
        if found:
            yield f"{heading}: {'; '.join(found[:FEW])}{f' and {len(found) - FEW} more' if len(found) > FEW else ''}"


def _phases(view: RecordView) -> Table:
    figures = (Column(name, justify="right") for name in ("seconds", "from fault"))
    table = Table("phase", *figures, Column("", no_wrap=True))
    total = view.rto.measured or max((p.end_seconds for p in view.phases), default=0.0) or 1.0
    for phase in view.phases:
        before, width = int(BAR * phase.begin_seconds / total), max(1, round(BAR * phase.took / total))
        table.add_row(phase.name, f"{phase.took:.1f}", f"{phase.end_seconds:.1f}", " " * before + "█" * width)
    return table
