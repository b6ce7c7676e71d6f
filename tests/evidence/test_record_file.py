"""Format of record.json: canonical, strictly read, described by a JSON Schema and in docs/RECORD.md."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import Unreadable
from harness.core.record import Person, Statements
from harness.evidence.format.record_file import as_data, canonical, read_record, record_in, schema, written
from tests.conftest import schema as compiled
from tests.records import a_record, kept

DOCS = Path(__file__).resolve().parents[2] / "docs"
NOTHING = replace(
    a_record(), rto_seconds=None, rpo_seconds=None, exposure_seconds=None, lost=None, phantom=None, out_of_order=None,
    acknowledged=None, lost_objects=None, data_bytes=None, data_rows=None, finished=None, expected=None,
)  # fmt: skip
FULL = replace(kept(), statements=Statements(plan="p", participants=(Person("A", "lead"),), in_scope=("all",)))


@pytest.mark.parametrize("record", [a_record(), kept(), NOTHING, FULL], ids=["broken", "kept", "nothing", "stated"])
def test_a_record_is_read_as_it_was_written_and_matches_the_schema(record: Any) -> None:
    text = written(record)
    assert record_in(text, "x") == record
    compiled()(json.loads(text))


def test_what_is_absent_is_said_in_words() -> None:
    data = as_data(NOTHING)
    for name in ("rto_seconds", "rpo_seconds", "exposure_seconds", "lost", "lost_objects", "data_bytes", "data_rows"):
        assert data[name] == "not measured", name
    assert data["approver"] == data["expected"] == data["statements"]["plan"] == "not stated"
    assert data["statements"]["participants"] == data["statements"]["reviewer"] == "not stated"
    assert (data["finished"], data["previous_statement_sha256"]) == ("not concluded", "none")
    assert data["origin"]["clock_offset_seconds"] == "not measured"


def test_the_committed_schema_is_the_one_of_the_code() -> None:
    assert json.loads((DOCS / "record.schema.json").read_bytes()) == schema(), "blackstart record schema > docs/..."


def names_in(table: Any) -> set[str]:
    return set(table["properties"]) | {n for d in table.get("$defs", {}).values() for n in d["properties"]}


def test_every_field_is_described() -> None:
    described = set(re.findall(r"`([a-z_0-9]+)`", (DOCS / "RECORD.md").read_text()))
    assert not names_in(schema()) - described


def test_every_measured_field_names_its_unit() -> None:
    table = schema()
    kinds = {**table["properties"], **{n: r for d in table["$defs"].values() for n, r in d["properties"].items()}}
    floats = {name for name, rule in kinds.items() if '"number"' in json.dumps(rule)} - {"backup"}
    assert {name for name in floats if not name.endswith("_seconds")} == set()


DAMAGE: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "further key": (lambda d: d.update(more=1), "not a drill record as it was written"),
    "no key": (lambda d: d.pop("verdict"), "verdict"),
    "other type": (lambda d: d.update(data_rows="many"), "data_rows"),
    "truth as number": (lambda d: d.update(data_rows=True), "data_rows"),
    "word where a number must be": (lambda d: d["promise"].update(rto_seconds="not measured"), "promise.rto_seconds"),
    "further key inside": (lambda d: d["origin"].update(more=1), "not a drill record as it was written"),
    "other version": (lambda d: d.update(format="blackstart-record/1"), "format 'blackstart-record/1' is not"),
    "too exact": (lambda d: d.update(rpo_seconds=1.00001), "not a drill record as it was written"),
}


@pytest.mark.parametrize(("change", "said"), DAMAGE.values(), ids=DAMAGE)
def test_another_content_is_refused(change: Callable[[dict[str, Any]], object], said: str) -> None:
    data = json.loads(written(a_record()))
    change(data)
    with pytest.raises(Unreadable, match=said):
        record_in(json.dumps(data, sort_keys=True, separators=(",", ":")).encode() + b"\n", "x")
    if "rpo_seconds" in data and data["rpo_seconds"] == 3:  # a schema says nothing about the form of a number
        with pytest.raises(fastjsonschema.JsonSchemaException):
            compiled()(data)


def test_another_form_of_the_same_content_is_refused(tmp_path: Path) -> None:
    text = written(a_record())
    for other in (json.dumps(json.loads(text)).encode(), text[:-1], text.replace(b'{"ack', b'{"drill":"x","ack', 1)):
        with pytest.raises(Unreadable, match="not a drill record as it was written"):
            record_in(other, "x")
    with pytest.raises(Unreadable, match="No such file"):
        read_record(tmp_path / "none")


@given(st.binary() | st.recursive(st.none() | st.text(), lambda x: st.dictionaries(st.text(), x)).map(canonical))
def test_whatever_the_bytes_a_record_is_read_or_refused(text: bytes) -> None:
    with pytest.raises(Unreadable):
        record_in(text, "x")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": 2.0, "\U0001f600": 0, "\ufb33": 0}, '{"a":2,"b":1,"\U0001f600":0,"\ufb33":0}'),
        ([0.0001, 0.5, 1e15, -0.0, 29.53], "[0,0.5,1000000000000000,0,29.53]"),
        ("\u20ac$\x0f\nA'B\"\\/", '"\u20ac$\\u000f\\nA\'B\\"\\\\/"'),
    ],
)
def test_canonical_json_is_that_of_rfc_8785(value: object, text: str) -> None:
    """Keys in the order of UTF-16, numbers as ECMAScript writes them, the string of the RFC's example."""
    assert canonical(value) == text.encode()


@pytest.mark.damages_records
def test_a_record_that_is_too_large_is_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "record.json").write_bytes(b" " * 11)
    monkeypatch.setattr("harness.evidence.format.record_file.LARGEST", 10)
    with pytest.raises(Unreadable, match=r"not a drill record \(larger than 10 bytes\)"):
        read_record(tmp_path)
