"""Each field of a record, edited by somebody who has the key: both verifiers notice, or the documentation names it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.attestation.statement import PAYLOAD, SIGNED, statement_of
from harness.attestation.verify import verify
from harness.core.errors import Unreadable
from harness.evidence.folder import read_record
from harness.evidence.format.record_file import canonical
from harness.signing import read_signing_key, read_verify_key, sign
from tests.attestation.conftest import PAIR, Sealed, restore_tested
from tests.attestation.test_judges import ALONE
from tests.memory_estate import MemoryEstate

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/RECORD.md"
# An item of each list that is empty in a usual record.
ITEMS: dict[str, Any] = {
    "diverged": 7, "phantom": 7, "out_of_order": 7, "lost": 7,
    "findings": {"what": "w", "owner": "o", "due": "2026-01-01"}, "refused": {"where": "w", "packets": 1},
    "passed_over": ["a", "b"], "overhead": {"took_seconds": 1, "what": "w"},
    "ledgers": {"acknowledged": 1, "found": 1, "lost": [], "name": "n", "rpo_seconds": 0},
    "key_results": {"at_seconds": 1, "detail": "d", "name": "n", "passed": True, "service": "s", "took_seconds": 1},
}  # fmt: skip
# What stands for a value that was not measured or not stated, where it is no text.
PEOPLE, LINES = ("participants", "observers", "excluded_people"), ("in_scope", "out_of_scope", "third_parties")
MEASURED: dict[str, Any] = {
    "lost": [7], "phantom": [7], "out_of_order": [7], "lost_objects": ["o"], "witnessed": True,
    "reviewer": {"name": "n", "role": "r"}, **{name: [{"name": "n", "role": "r"}] for name in PEOPLE},
    **{name: ["d"] for name in (*LINES, "assumptions", "deviations")},
}  # fmt: skip


def stated() -> set[str]:
    """Return the fields that the documentation says no verifier can recompute."""
    found = DOCUMENT.read_text(encoding="utf-8").partition("## Stated by the drill's machine")[2].partition("\n## ")[0]
    return {
        name
        for line in found.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of each value, and of each list and table that is empty."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    parts = list(inner)
    if not parts:
        yield path
    for key, part in parts:
        yield from leaves(part, (*path, key))


def edited(data: Any, path: tuple[str | int, ...]) -> Any:
    """Return a copy in which one value is another of the same type."""
    copy = json.loads(json.dumps(data))
    place = copy
    for key in path[:-1]:
        place = place[key]
    was, name = place[path[-1]], str(path[-1])
    if was == "not measured" or (was == "not stated" and name in MEASURED):
        place[path[-1]] = MEASURED.get(name, 1)
    elif was == []:
        place[path[-1]] = [ITEMS.get(name, "x")]
    elif was == {}:
        place[path[-1]] = {"x": "y"}
    else:
        place[path[-1]] = not was if isinstance(was, bool) else was + (1 if isinstance(was, int | float) else "x")
    return copy


def resigned(folder: Path, data: Any) -> None:
    """Write a record, and sign a new statement about it with the key that has always signed it."""
    (folder / "record.json").write_bytes(canonical(data) + b"\n")
    try:
        payload = canonical(statement_of(folder, read_record(folder), "0" * 64))
    except Unreadable:  # not of this version
        return
    (folder / SIGNED).write_bytes(sign(PAYLOAD, payload, [read_signing_key(PAIR[0])]))


def refused(sealed: Sealed) -> tuple[bool, bool]:
    """Return whether blackstart, and the stand-alone verifier, refuse the record."""
    try:
        ALONE.verify(sealed.folder, [sealed.pem], "", None)
        alone = False
    except (SystemExit, LookupError, ValueError, TypeError, AttributeError):
        alone = True
    return bool(verify(sealed.folder, [sealed.public]).refusals), alone


def require_each(sealed: Sealed) -> None:
    assert refused(sealed) == (False, False)
    record = json.loads((sealed.folder / "record.json").read_bytes())
    wrong = []
    for path in leaves(record):
        resigned(sealed.folder, edited(record, path))
        noticed = path[0] not in stated()
        if (found := refused(sealed)) != (noticed, noticed):
            wrong.append((path, found))
    assert wrong == []


@pytest.mark.night
@pytest.mark.attacks
@pytest.mark.damages_records
def test_each_field_of_a_drill_is_noticed_by_both_or_documented(sealed: Sealed) -> None:
    require_each(sealed)


@pytest.mark.attacks
@pytest.mark.damages_records
def test_each_field_of_a_restore_test_is_noticed_by_both_or_documented(
    memory_estate: MemoryEstate, tmp_path: Path
) -> None:
    (tmp_path / "record.pub").write_bytes(PAIR[1])
    private, public = read_signing_key(PAIR[0]), read_verify_key(PAIR[1])
    folder = restore_tested(memory_estate, tmp_path / "reports", private, 2)  # the second is BROKEN, with a finding
    require_each(Sealed(folder, private, public, tmp_path / "record.pub"))


def test_what_is_documented_as_stated_is_a_field(sealed: Sealed) -> None:
    fields = json.loads((sealed.folder / "record.json").read_bytes()).keys()
    assert stated()
    assert stated() <= fields


@pytest.mark.attacks
@pytest.mark.damages_records
def test_each_value_of_the_statement_is_noticed_by_both(sealed: Sealed) -> None:
    """Tools that read nothing but the statement would come to another result than whoever reads the record."""
    text = (sealed.folder / SIGNED).read_bytes()
    statement = json.loads(base64.b64decode(json.loads(text)["payload"]))
    wrong = []
    for path in leaves(statement):
        payload = canonical(edited(statement, path))
        (sealed.folder / SIGNED).write_bytes(sign(PAYLOAD, payload, [sealed.private]))
        # The chain over all records has the line before; the names of backups are compared by blackstart alone.
        expected = (path[-1] != "previous_line_sha256",) * 2
        if (
            path[0] == "subject"
            and path[-1] == "name"
            and str(statement["subject"][path[1]]["name"]).startswith("backup:")
        ):
            expected = (True, False)
        if (found := refused(sealed)) != expected:
            wrong.append((path, found))
    assert wrong == []


@pytest.mark.attacks
@pytest.mark.damages_records
@pytest.mark.parametrize("change", [{"approved": "by all"}, {"approver": None}])
def test_a_field_more_or_less_is_refused_by_both(sealed: Sealed, change: dict[str, Any]) -> None:
    record = json.loads((sealed.folder / "record.json").read_bytes()) | change
    statement = json.loads(base64.b64decode(json.loads((sealed.folder / SIGNED).read_bytes())["payload"]))
    content = canonical({name: value for name, value in record.items() if value is not None}) + b"\n"
    (sealed.folder / "record.json").write_bytes(content)
    for one in statement["subject"]:
        if one["name"] == "record.json":
            one["digest"]["sha256"] = hashlib.sha256(content).hexdigest()
    (sealed.folder / SIGNED).write_bytes(sign(PAYLOAD, canonical(statement), [sealed.private]))
    assert refused(sealed) == (True, True)
