"""Journal of events: interface, in-memory implementation, and functions on events."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from harness.core.clock import SYSTEM, Clock

Fact = str | int | float | bool
END, FAILED = "end", "failed"  # kinds of the event that ends a phase
RESUMED = "resumed"  # the kind of the event from which interrupted work goes on


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the journal."""

    at: float  # monotonic seconds of the drill's one clock
    wall: datetime  # UTC, for people
    kind: str  # a short word such as `begin`, `end`, `struck`, `message`, `alert`, `log`
    subject: str
    message: str  # the number in the mission's sequence, or ""
    facts: Mapping[str, Fact]


class Journal(Protocol):
    """Event log of the harness. `harness.evidence.journal` writes it to a file."""

    def mark(self, kind: str, subject: str, *, message: str = "", **facts: Fact) -> Event:
        """Write one event durably and return it."""

    @property
    def events(self) -> tuple[Event, ...]:
        """All events so far, in order."""

    @property
    def writes(self) -> tuple[tuple[float, float], ...]:
        """Begin and end of the writing of each event, in monotonic seconds; none where nothing is written."""


@dataclass(slots=True)
class MemoryJournal:
    """A journal in memory, for tests and for commands without a record."""

    clock: Clock = SYSTEM
    _events: list[Event] = field(default_factory=list)

    def mark(self, kind: str, subject: str, *, message: str = "", **facts: Fact) -> Event:
        """Append one event and return it."""
        clock = self.clock
        event = Event(clock.monotonic(), clock.wall(), kind, subject, message, facts)
        self._events.append(event)
        return event

    @property
    def events(self) -> tuple[Event, ...]:
        """All events so far."""
        return tuple(self._events)

    @property
    def writes(self) -> tuple[tuple[float, float], ...]:
        """None: nothing is written."""
        return ()


@contextmanager
def phase(journal: Journal, name: str, *, message: str = "") -> Iterator[None]:
    """Journal begin and end of a phase; a phase that raised ends as `failed` with the reason."""
    journal.mark("begin", name, message=message)
    try:
        yield
    except BaseException as error:
        journal.mark(FAILED, name, error=str(error) or type(error).__name__)
        raise
    journal.mark(END, name)


def resumed_events(events: tuple[Event, ...]) -> tuple[Event, ...]:
    """Return the events of work that is resumed; () where it begins now, in a journal that others may have begun."""
    return events if any(event.kind == RESUMED for event in events) else ()


def messages_seen(events: tuple[Event, ...]) -> tuple[str, ...]:
    """Return the mission's message numbers in the order of their first occurrence."""
    return tuple(dict.fromkeys(event.message for event in events if event.message))
