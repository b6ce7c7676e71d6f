"""The runs that the records of a folder of reports are evidence of."""

from datetime import datetime
from pathlib import Path

from harness.core.controls import Run
from harness.core.errors import Unreadable
from harness.evidence.folder import read_record, records
from harness.evidence.report.view import RecordView, view_of


def run_of(view: RecordView, record: str) -> Run | None:
    """Return the run of a record; None when it was not concluded, so that it is evidence of nothing."""
    try:
        ended = datetime.fromisoformat(view.finished)
    except ValueError:
        return None
    if ended.tzinfo is None:
        return None
    budgets = {one.name.lower(): one.budget for one in (view.rto, view.rpo, view.exposure) if one.budget is not None}
    budgets["missing files"] = view.missing_files
    reasons = (*view.reasons, *view.unmet)
    return Run(
        drill=view.drill,
        estate=view.estate,
        substrate=view.substrate,
        scenario_sha256=view.scenario_sha256,
        ended=ended,
        verdict=view.verdict,
        as_expected=view.as_expected,
        controls=view.controls,
        budgets=budgets,
        record=record,
        reason=reasons[0] if reasons else "",
    )


def read_runs(reports: Path) -> tuple[tuple[Run, ...], tuple[str, ...]]:
    """Return the runs of all records, oldest first, and a line for each record that cannot be read."""
    runs, damaged = [], []
    for folder in records(reports):
        try:
            run = run_of(view_of(read_record(folder)), folder.name)
        except Unreadable as error:
            damaged.append(str(error))
            continue
        if run is not None:
            runs.append(run)
    return tuple(runs), tuple(damaged)
