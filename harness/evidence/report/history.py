"""Trend of each drill over its records, for the terminal."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from harness.core.duration import figure, human
from harness.evidence.report.view import RecordView

LEVELS = "▁▂▃▄▅▆▇█"
NOTHING = "·"  # a night on which it was not measured
HEAD = ("ended", "verdict", "RTO", "RPO", "exposure", "backup", "")


def lines_of(views: Sequence[RecordView], last: int) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """Yield a heading with the trend, and the rows of the last runs, for each drill on each substrate."""

    def key(view: RecordView) -> tuple[str, str, str]:
        return view.estate, view.drill, view.substrate

    for (estate, drill, substrate), found in groupby(sorted(views, key=key), key=key):
        runs = sorted(found, key=lambda view: view.finished or view.started)[-last:]
        good = sum(view.as_expected for view in runs)
        place = f"{estate}, {substrate}" if estate else substrate
        trends = " · ".join(
            f"{name} {trend([getattr(view, kind).measured for view in runs])}"
            for name, kind in (("RTO", "rto"), ("RPO", "rpo"))
        )
        budget = runs[-1].rto.budget
        promised = f" (promised RTO {human(budget)})" if budget is not None else ""
        yield f"{drill} ({place}): {good} of {len(runs)} as expected · {trends}{promised}", [row_of(v) for v in runs]


def trend(values: Sequence[float | None]) -> str:
    """Return one character for each value, the highest for the largest."""
    top = max((value for value in values if value is not None), default=0.0)
    return "".join(
        NOTHING if value is None else LEVELS[round((len(LEVELS) - 1) * value / top) if top else 0] for value in values
    )


def row_of(view: RecordView) -> tuple[str, ...]:
    """Return the cells of one run, in the order of HEAD."""
    return (
        view.finished or f"{view.started}, not concluded",
        view.verdict,
        figure(view.rto.measured),
        figure(view.rpo.measured),
        figure(view.exposure.measured),
        view.backup or "none",
        "" if view.as_expected else f"{view.expected or 'KEPT'} was expected",
    )
