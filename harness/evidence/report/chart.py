"""Waterfall of a recovery: the phases in seconds after the fault, and the line of the promised RTO."""

from dataclasses import dataclass

from harness.core.duration import human
from harness.evidence.report.view import RecordView

WIDEST = 4.0  # a budget further away than this many times the recovery would leave no bar to see
ROOM = 1.06  # of the longest time, so that a line at the end is inside the chart
TICKS = 6  # at most
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)  # seconds between ticks


@dataclass(frozen=True, slots=True)
class Bar:
    """One phase; `left` and `width` in percent of the chart."""

    name: str
    took: str
    left: float
    width: float


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark of the axis; `left` in percent of the chart."""

    left: float
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars, axis and budget line. `budget`: percent, None where nothing is promised; `note`: what the line is.

    A budget that is far away is a line at the end of the chart, and the note says that it is not to scale.
    """

    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    budget: float | None
    note: str


def chart_of(view: RecordView) -> Chart:
    """Return the chart of a record; without a bar when no phase was seen."""
    total = view.rto.measured or max((phase.end_seconds for phase in view.phases), default=0.0)
    budget = view.rto.budget
    if not total:
        return Chart((), (), None, "")
    near = budget is not None and budget <= WIDEST * total
    scale = ROOM * (max(total, budget) if near and budget is not None else total)
    bars = tuple(
        Bar(one.name, human(one.took), 100 * one.begin_seconds / scale, max(0.4, 100 * one.took / scale))
        for one in view.phases
    )
    end = scale / ROOM
    step = next((one for one in STEPS if end / one <= TICKS), end / TICKS)
    ticks = tuple(Tick(100 * n * step / scale, human(n * step)) for n in range(int(end / step) + 1))
    if budget is None:
        return Chart(bars, ticks, None, "")
    where = "" if near else ", not to scale"
    return Chart(bars, ticks, 100 * budget / scale if near else 100.0, f"promised RTO {human(budget)}{where}")
