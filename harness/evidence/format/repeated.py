"""Fields of a record that its journal repeats: what is stated before a drill is in it before anything is started."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from harness.core.errors import Unreadable
from harness.core.journal import Fact
from harness.core.record import NOT_STATED, DrillRecord
from harness.evidence.format.record_file import as_data, canonical, statements_in

RECORDED = "recorded"  # the kind of the event that repeats what journal and ledger gave
JSON = "json "  # begins the name of a fact that is no single value, in canonical JSON
BEFORE = (
    "drill", "objective", "substrate", "estate", "initiator", "approver", "scenario_sha256", "controls", "statements",
)  # fmt: skip
AFTER = (
    "reasons", "findings", "unmet", "uncovered", "phases", "key_results", "messages", "origin", "judged", "started",
    "finished", "acknowledged", "phantom", "out_of_order",
)  # fmt: skip


def repeats(record: DrillRecord, names: Iterable[str]) -> dict[str, Fact]:
    """Return the facts of an event that repeats fields of a record, as the record's file has them."""
    data, facts = as_data(record), {}
    for name in names:
        single = isinstance(data[name], str | int)
        facts[name if single else f"{JSON}{name}"] = data[name] if single else canonical(data[name]).decode()
    return facts


def repeated(facts: Mapping[str, Fact]) -> Mapping[str, Any]:
    """Return the fields that an event repeats, as JSON-ready data. Raises ValueError for JSON that is none."""
    known = {name.removeprefix(JSON): name for name in facts}
    return {
        field: json.loads(str(facts[name])) if name != field else facts[name]
        for field, name in known.items()
        if field in BEFORE + AFTER
    }


def stated_in(facts: Mapping[str, Fact]) -> dict[str, Any]:
    """Return the fields of a `RecordHeader` that were journalled before a drill, none in a journal without them.

    Raises Unreadable for a journal that was changed.
    """
    try:
        said = repeated(facts)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"the journal was changed: what it says of the drill is not JSON ({error})") from None
    if not set(BEFORE) <= said.keys():
        return {}
    words = {name: "" if said[name] == NOT_STATED else said[name] for name in BEFORE[:-2]}
    controls = said["controls"]
    if not all(isinstance(one, str) for one in (*words.values(), *(controls if isinstance(controls, list) else [0]))):
        raise Unreadable("the journal was changed: what it says of the drill is no text")
    return {**words, "controls": tuple(controls), "statements": statements_in(said["statements"])}
