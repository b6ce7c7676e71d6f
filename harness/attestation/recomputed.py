"""What a record must say: each of its fields that journal, ledger, folder or key give, computed again."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.core.journal import Event
from harness.core.judge import Evidence, judge
from harness.core.judged import since_promise
from harness.core.record import NOBODY, NOT_MEASURED, DrillRecord, ledger_results
from harness.core.text import visible
from harness.evidence.format.derived import (
    ENDED,
    findings_of,
    judged_of,
    key_results,
    origin_of,
    seen_messages,
    unmet_in,
)
from harness.evidence.format.record_file import as_data, canonical
from harness.evidence.format.repeated import AFTER, BEFORE, RECORDED, repeated

UNORDERED = ("reasons", "findings", "key_results")  # what is noted side by side, and in one order by the journal
SHOWN = 80  # characters of a value in a line


def differing(folder: Path, record: DrillRecord, events: tuple[Event, ...], evidence: Evidence) -> Iterator[str]:
    """Yield a line for each field of the record that journal and ledger do not give, or that the journal repeats.

    `evidence`: what the journal's newest record was judged by. Raises Unreadable, ValueError for a damaged journal.
    """
    data, judgement = as_data(record), judge(evidence)
    for name, found in given(folder, record, events, evidence).items():
        said = data[name]
        if name in UNORDERED:
            said, found = (sorted(one, key=canonical) for one in (said, found))  # noqa: PLW2901 - the same, sorted
        if (first := first_difference(name, said, found)) is not None:
            more = f" ({'; '.join(judgement.reasons) or 'no reason'})" if name == "verdict" else ""
            where, here, right = first
            yield f"verdict: the record says {where} {_short(here)}, journal and ledger give {_short(right)}{more}"
    mine = since_promise(events)
    for names, event in ((BEFORE, mine[0]), *[(AFTER, one) for one in mine if one.kind == RECORDED][-1:]):
        for name, found in repeated(event.facts).items():
            if name in names and (first := first_difference(name, data[name], found)) is not None:
                where, here, right = first
                yield f"journal: the record says {where} {_short(here)}, its event `{event.kind}` {_short(right)}"


def given(folder: Path, record: DrillRecord, events: tuple[Event, ...], evidence: Evidence) -> Mapping[str, Any]:
    """Return what each field must be, as JSON-ready data, without those that a journal of before does not give."""
    mine, judgement, clients = since_promise(events), judge(evidence), evidence.clients
    loss, origin = judgement.loss, origin_of(evidence, events)
    ended = max((n for n, event in enumerate(events) if event.kind == ENDED), default=len(events) - 1)
    begin = origin.monotonic_seconds or 0.0
    acknowledged = len(clients.ledger.acknowledged()) if clients else None
    found: dict[str, object] = {
        "verdict": str(judgement.verdict),
        "reasons": judgement.reasons,
        "rto_seconds": judgement.rto,
        "rpo_seconds": judgement.rpo,
        "exposure_seconds": judgement.exposure,
        "acknowledged": loss.acknowledged if loss else acknowledged,
        "lost": loss.lost if loss else None,
        "phantom": loss.phantom if loss else None,
        "out_of_order": loss.out_of_order if loss else None,
        "ledgers": ledger_results(clients, judgement),
        "judged": judged_of(evidence, folder, record.judged.journal_events, begin),
        "phases": evidence.phases,
        "uncovered": evidence.uncovered,
        "unmet": unmet_in(events),
        "messages": seen_messages(events[: ended + 1], evidence.origin),
        "started": events[0].wall.isoformat(timespec="seconds"),
        "signed_off_by": NOBODY,
    }
    if set(BEFORE) <= repeated(mine[0].facts).keys():
        wall, tried = events[ended].wall, mine if evidence.key is not None else ()
        found |= {
            "origin": origin,
            "finished": wall.isoformat(timespec="seconds"),
            "findings": findings_of(judgement.reasons, record.promise.owner, wall),
            "key_results": tuple(key_results(tried, begin)),
        }
    said = {name: NOT_MEASURED if value is None else as_data(value) for name, value in found.items()}
    return dict(json.loads(canonical(said)))


def first_difference(name: str, said: Any, right: Any) -> tuple[str, Any, Any] | None:
    """Return where two JSON values differ first, and both values there; None where they are the same."""
    if isinstance(said, dict) and isinstance(right, dict) and said.keys() == right.keys():
        pairs = [(f"{name}.{key}", said[key], right[key]) for key in said]
    elif isinstance(said, list) and isinstance(right, list) and len(said) == len(right):
        pairs = [(f"{name}[{n}]", one, other) for n, (one, other) in enumerate(zip(said, right, strict=True))]
    else:
        return None if canonical(said) == canonical(right) else (name, said, right)
    return next((found for pair in pairs if (found := first_difference(*pair)) is not None), None)


def _short(value: object) -> str:
    text = visible(str(value))
    return text if len(text) < SHOWN else f"{text[:SHOWN]}..."
