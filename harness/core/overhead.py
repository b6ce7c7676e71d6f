"""Work of the harness within the time of a recovery that a recovery alone would not do. It is measured, never judged.

What is measured: the strike and its witness, the comparison of what was restored with the ledger, the writing of the
journal, and the time between the phases. The bound is an upper one: what ran beside real work counts as well.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from harness.core.clock import SYSTEM
from harness.core.journal import Event, Journal
from harness.core.judge import Phase
from harness.core.record import Overhead

OVERHEAD = "overhead"  # the kind of the event that ends such work; its fact `took_seconds`
JOURNAL, BETWEEN = "writing the journal", "between the phases"
Span = tuple[float, float]  # begin and end in seconds


@contextmanager
def overhead(journal: Journal, what: str) -> Iterator[None]:
    """Journal how long the block took, as work that a recovery alone would not do. `what`: its name in the record.

    Nothing is journalled when the block raises: without a recovery there is no time to measure it against.
    """
    begun = SYSTEM.monotonic()
    yield
    journal.mark(OVERHEAD, what, took_seconds=round(SYSTEM.monotonic() - begun, 6))


def overheads(
    events: Iterable[Event], writes: Iterable[Span], phases: Sequence[Phase], origin: float, key: float
) -> tuple[Overhead, ...]:
    """Return what the harness did between `origin` and `key`, each second counted once.

    `writes`: begin and end of each write of the journal. All in monotonic seconds, except the phases, which count from
    the origin.
    """
    window = [(origin, key)]
    spans = [(event.subject, _took(event)) for event in events if event.kind == OVERHEAD]
    spans += [(JOURNAL, write) for write in writes]
    within = [(origin + phase.begin_seconds, origin + phase.end_seconds) for phase in phases]
    spans += [(BETWEEN, gap) for gap in without(window, within)]
    found: dict[str, float] = {}
    left = window  # of the time between origin and key, what is not counted yet
    for what, span in (one for one in spans if one[1][0] < key and one[1][1] > origin):
        rest = without(left, [span])
        found[what] = found.get(what, 0.0) + _length(left) - _length(rest)
        left = rest
    return tuple(Overhead(what, seconds) for what, seconds in found.items() if seconds > 0)


def _took(event: Event) -> Span:
    took = event.facts.get("took_seconds")
    return event.at - (took if isinstance(took, int | float) else 0.0), event.at


def without(spans: Sequence[Span], taken: Iterable[Span]) -> list[Span]:
    """Return what is left of spans when others are taken out of them."""
    left = list(spans)
    for begin, end in taken:
        parts = (part for one in left for part in ((one[0], min(one[1], begin)), (max(one[0], end), one[1])))
        left = [part for part in parts if part[0] < part[1]]
    return left


def _length(spans: Iterable[Span]) -> float:
    return sum(end - begin for begin, end in spans)
