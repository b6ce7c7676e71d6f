"""The runs that the records of a folder of reports are evidence of."""

from datetime import datetime
from pathlib import Path

from harness.core.controls import Run
from harness.evidence.folder import read_records
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
    """Return the runs of all records, oldest first, and a line for each record that is left out."""
    found, left_out = read_records(reports)
    runs = (run_of(view_of(record), name) for name, record in found.items())
    return tuple(run for run in runs if run is not None), left_out
