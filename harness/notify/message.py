"""The message about one outcome: plain text, without secrets and without data of the estate."""

from harness.evidence.report.view import RecordView, against

SHOWN = 3  # reasons that a message names


def title_of(view: RecordView) -> str:
    """Return one line: verdict, whether it was expected, drill and estate."""
    surprise = (
        ""
        if view.verdict == "KEPT" and view.as_expected
        else (" as expected" if view.as_expected else f" ({view.expected} expected)" if view.expected else "")
    )
    return f"blackstart: {view.verdict}{surprise}: {view.drill} ({view.estate or view.mode})"


def body_of(view: RecordView, record: str) -> str:
    """Return the figures against their budgets and the first reasons. `record`: the name of the record folder."""
    reasons = (*view.reasons, *view.unmet)
    lines = [
        " · ".join(against(one) for one in (view.rto, view.rpo, view.exposure)),
        f"writes lost: {view.losses}",
        *(f"- {reason}" for reason in reasons[:SHOWN]),
        *([f"- and {len(reasons) - SHOWN} more"] if len(reasons) > SHOWN else []),
        f"{view.mode} on {view.substrate}, backup {view.backup or 'none'}, finished {view.finished}",
        f"record: {record}",
    ]
    return "\n".join(lines)
