"""Lines of journal and ledger in another form, by whoever has the key: both verifiers come to the same result."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from harness.attestation.statement import PAYLOAD, SIGNED
from harness.attestation.verify import verify
from harness.core.judged import ranges
from harness.evidence.format.record_file import canonical
from harness.signing import read_envelope, sign
from tests.attestation.conftest import Sealed
from tests.attestation.test_judges import ALONE, MORE

pytestmark = [pytest.mark.attacks, pytest.mark.damages_records]
FIGURES = "verdict|rto_seconds|rpo_seconds|exposure_seconds|lost|ledgers|acknowledged"
# What blackstart says of the form of both files, and of the figures that both compute; the rest it alone computes.
SAID = re.compile(
    rf"journal: journal.jsonl|budget: |record: "
    rf"|verdict: (cannot|judged with|the journal notes|the record says ({FIGURES}) )"
)
ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 1.5, 5.0, -0.0, 10**20, 1e300, float("nan"), float("inf"), "1", "", "1-0", [], {}, [1],
)  # fmt: skip
Lines = list[dict[str, Any]]


def rewritten(sealed: Sealed, change: Callable[[Lines, Lines], object]) -> None:
    """Change events and rows, and write figures, hashes and signature of the record for what the stand-alone judges."""
    folder = sealed.folder
    files = (folder / name for name in ("journal.jsonl", "ledger.jsonl"))
    events, rows = ([*map(json.loads, path.read_bytes().splitlines())] for path in files)
    record = json.loads((folder / "record.json").read_bytes())
    payload = json.loads(read_envelope((folder / SIGNED).read_bytes(), PAYLOAD).payload)
    change(events, rows)
    ledger = "".join(json.dumps(row) + "\n" for row in rows).encode()
    count = record["judged"]["journal_events"]
    head = hashlib.sha256(chained(events)[count - 1]).hexdigest()
    record["judged"] |= {"journal_head_sha256": head, "ledger_sha256": hashlib.sha256(ledger).hexdigest()}
    with suppress(SystemExit, LookupError, ValueError, TypeError, AttributeError):
        record["reasons"] = json.loads(canonical(MORE.reasons(events, rows, ALONE.loss_of)))
    for event in events:
        if event["kind"] == "recorded":
            event["facts"]["json reasons"] = canonical(record["reasons"]).decode()
            event["facts"]["json judged"] = canonical(record["judged"]).decode()
    lines = chained(events)
    with suppress(SystemExit, LookupError, ValueError, TypeError, AttributeError):  # it will be refused
        record |= ALONE.judge([*map(json.loads, lines)], [*map(json.loads, ledger.splitlines())])
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode() + b"\n"
    new = {"journal.jsonl": b"".join(line + b"\n" for line in lines), "ledger.jsonl": ledger, "record.json": text}
    for name, content in new.items():
        (folder / name).write_bytes(content)
    for one in payload["subject"]:
        if one["name"] in new:
            one["digest"]["sha256"] = hashlib.sha256(new[one["name"]]).hexdigest()
    kept, drill, about = record["verdict"] == "KEPT", [record["drill"]], payload["predicate"]
    about |= {"result": "PASSED" if kept else "FAILED"}
    about |= {"passedTests": drill if kept else [], "failedTests": [] if kept else drill}
    about["blackstart"] = {word: record.get(word, was) for word, was in about["blackstart"].items()}
    (folder / SIGNED).write_bytes(sign(PAYLOAD, json.dumps(payload).encode(), [sealed.private]))


def chained(events: Lines) -> list[bytes]:
    last, lines = "0" * 64, list[bytes]()
    for event in events:
        lines.append(json.dumps({**event, "prev": last}, ensure_ascii=False).encode())
        last = hashlib.sha256(lines[-1]).hexdigest()
    return lines


def results(sealed: Sealed) -> tuple[str, list[str], tuple[str, ...]]:
    """Return why the stand-alone verifier refuses a record, else ""; what blackstart says of its form, and of all."""
    said = ""
    try:
        ALONE.verify(sealed.folder, [sealed.pem], "", None)
    except (SystemExit, LookupError, ValueError, TypeError, AttributeError) as error:
        said = str(error) or repr(error)
    refusals = verify(sealed.folder, [sealed.public]).refusals
    return said, [line for line in refusals if SAID.match(line)], refusals


def observed(events: Lines) -> dict[str, Any]:
    """Return the facts that the drill was judged by."""
    found: dict[str, Any] = next(e["facts"] for e in events if e["subject"] == "observed" and e["kind"] == "judged")
    return found


def test_the_record_that_nobody_changed_is_verified_by_both(sealed: Sealed) -> None:
    rewritten(sealed, lambda _events, _rows: None)
    assert results(sealed) == ("", [], ())


def acked(rows: Lines) -> dict[str, Any]:
    return next(row for row in rows if "acked" in row)


CHANGES: dict[str, Callable[[Lines, Lines], object]] = {
    "an acknowledgement twice": lambda _, rows: rows.append(dict(acked(rows))),
    "an acknowledgement before it was sent": lambda _, rows: acked(rows).update(acked=0.5),
    "an acknowledgement of nothing": lambda _, rows: rows.append({"number": 10**9, "acked": 1.5}),
    "a time that is true": lambda _, rows: acked(rows).update(acked=True),
    "a time that is NaN": lambda _, rows: acked(rows).update(acked=float("nan")),
    "a number with a point": lambda _, rows: acked(rows).update(number=float(acked(rows)["number"])),
    "a negative number": lambda _, rows: [row.update(number=-1) for row in rows if row["number"] == rows[0]["number"]],
    "a further field": lambda _, rows: rows[0].update(was=1),
    "a long line": lambda _, rows: rows.append({"ledger": "x" * 400, "number": 1, "sent": 1.0}),
    "a name after the number": lambda _, rows: rows.append({"number": 10**9, "sent": 1.0, "ledger": "clients"}),
    "both times": lambda _, rows: acked(rows).update(sent=1.0),
    "runs that are backwards": lambda e, _: observed(e).update(survivors=observed(e)["survivors"] + " 99999-99000"),
    "checks that are a text": lambda e, _: observed(e).update(checks="0"),
    "checks that are true": lambda e, _: observed(e).update(checks=True),
    "an exposure that is true": lambda e, _: observed(e).update(exposure=True),
    "missing files with a point": lambda e, _: observed(e).update(missing_files=0.0),
    "a budget that is true": lambda e, _: [x["facts"].update(rpo_seconds=True) for x in e if x["kind"] == "promised"],
    "an event with a further field": lambda e, _: e[3].update(was=1),
    "an event at a time without a point": lambda e, _: e[3].update(at=int(e[3]["at"])),
    "an event with a fact that is a list": lambda e, _: e[3]["facts"].update(was=[]),
    "an event at no time": lambda e, _: e[3].update(wall="today"),
    "an event of no kind": lambda e, _: e[3].update(kind=None),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_line_in_another_form_is_refused_by_both(sealed: Sealed, name: str) -> None:
    rewritten(sealed, CHANGES[name])
    alone, ours, _ = results(sealed)
    assert alone
    assert ours


def test_writes_of_clients_are_not_copied_in_rounds(sealed: Sealed) -> None:
    """A fact `copied`, which is one of stores, excused a loss in the middle for the stand-alone verifier alone."""

    def lost_between(events: Lines, rows: Lines) -> None:
        struck = observed(events)["struck"]
        owed = sorted(row["number"] for row in rows if row.get("acked", struck + 1) <= struck and "ledger" not in row)
        assert len(owed) > 2
        alive = {row["number"] for row in rows if "ledger" not in row} - {owed[-2]}
        observed(events).update(copied=0.0, survivors=ranges(alive))

    rewritten(sealed, lost_between)
    assert results(sealed)[:2] == ("", [])
    assert json.loads((sealed.folder / "record.json").read_bytes())["verdict"] == "BROKEN"


def test_a_journal_whose_last_line_is_not_complete_is_refused_by_both(sealed: Sealed) -> None:
    """Its last byte was cut off, whatever it was."""
    rewritten(sealed, lambda _events, _rows: None)
    journal = sealed.folder / "journal.jsonl"
    before = journal.read_bytes()
    payload = json.loads(read_envelope((sealed.folder / SIGNED).read_bytes(), PAYLOAD).payload)
    for end in (b"", b"x"):
        journal.write_bytes(before[:-1] + end)
        for one in payload["subject"]:
            if one["name"] == journal.name:
                one["digest"]["sha256"] = hashlib.sha256(journal.read_bytes()).hexdigest()
        (sealed.folder / SIGNED).write_bytes(sign(PAYLOAD, json.dumps(payload).encode(), [sealed.private]))
        alone, ours, _ = results(sealed)
        assert "its last line is not complete" in alone
        assert "its last line is not complete" in "".join(ours)


def mutate(events: Lines, rows: Lines, chance: random.Random) -> None:
    """Put another value in the place of one, take a field away, or add one."""
    row = chance.choice(rows if chance.random() < 0.3 else events)
    place = row["facts"] if row.get("facts") and chance.random() < 0.6 else row
    key = chance.choice([name for name in place if name not in ("prev", "facts")])
    if chance.random() < 0.1 and place is not row:
        del place[key]
    else:
        place[key if chance.random() < 0.95 else "copied"] = chance.choice(ODD)


def test_both_verifiers_come_to_the_same_result_on_what_is_changed_at_random(sealed: Sealed) -> None:
    """What blackstart alone computes, reasons for example, is the only thing that it alone may refuse."""
    before = {path: path.read_bytes() for path in sealed.folder.iterdir() if path.is_file()}
    wrong = []
    for seed in random.sample(range(10**9), 120):
        for path, content in before.items():
            path.write_bytes(content)
        try:
            rewritten(sealed, lambda events, rows, seed=seed: mutate(events, rows, random.Random(seed)))  # type: ignore[misc]  # noqa: S311
        except (ValueError, TypeError, KeyError, AttributeError):
            continue  # no JSON
        alone, ours, every = results(sealed)
        if (alone and not every) or (ours and not alone):
            wrong.append((seed, alone, ours))
    assert wrong == []
