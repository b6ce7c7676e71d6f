"""Declared requests: what is sent, and which answers are findings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.core.errors import Finding
from harness.core.service import Answer
from harness.traffic.declared import KeyTable
from harness.traffic.exchange import Late, run_exchange
from harness.traffic.json_path import values_at


@dataclass
class Store:
    """A public door to a program that keeps what is put into it, by path. `forgets`: it answers as if it had."""

    forgets: bool = False
    kept: dict[str, bytes] = field(default_factory=dict)
    types: list[str] = field(default_factory=list)
    sessions: set[str] = field(default_factory=set)

    def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        session: str = "",
        patience: float = 10.0,
    ) -> Answer:
        self.sessions.add(session)
        self.types.append((headers or {}).get("Content-Type", ""))
        if method == "POST":
            if not self.forgets:
                self.kept[path] = body or b""
            return Answer(201, b'{"at": "%s", "size": %d}' % (path.encode(), len(body or b"")), {})
        if path not in self.kept:
            return Answer(404, b"nothing here", {})
        return Answer(200, self.kept[path], {})


WRITTEN = {
    "method": "POST",
    "path": "/notes/@{new}",
    "json": {"said": "note @{new}", "n": 3},
    "status": 201,
    "then": {"path": "@{answer:at}", "value": {"path": "said", "equals": "note @{new}"}},
}


def key(**table: object) -> KeyTable:
    return KeyTable.model_validate(table)


def test_what_was_written_is_read_back_by_a_second_request() -> None:
    door = Store()
    table = key(**WRITTEN)
    first, second = run_exchange(door, table, {}), run_exchange(door, table, {})
    assert first != second
    assert len(door.kept) == 2
    assert len(door.sessions) == 2  # one for each run, shared by its requests
    assert ", then GET /notes/" in first
    assert json.loads(next(iter(door.kept.values())))["n"] == 3
    with pytest.raises(Finding, match=r"GET /notes/\w+: answered 404, not 200: nothing here"):
        run_exchange(Store(forgets=True), table, {})


def test_a_value_of_the_answer_leads_to_the_next_request() -> None:
    then = {"path": "/@{answer:size}", "status": 404, "contains": "nothing"}
    said = run_exchange(Store(), key(**{**WRITTEN, "then": then}), {})
    assert said.endswith("GET /41: answered 404, 12 bytes, with 'nothing'")
    with pytest.raises(Finding, match="no 'nowhere' in"):
        run_exchange(Store(), key(**{**WRITTEN, "then": {**then, "path": "/@{answer:nowhere}"}}), {})


def test_each_kind_of_body_has_its_content_type() -> None:
    door = Store()
    for body in (
        {"form": {"said": "a b&c"}},
        {"body": "plain @{new}"},
        {"upload": {"content": "picture @{new}", "name": "x.png", "type": "image/png"}, "form": {"title": "t"}},
        {"body": "<a/>", "headers": {"Content-Type": "text/xml"}},
    ):
        run_exchange(door, key(method="POST", path="/x", status=201, contains="at", **body), {})
        if "form" in body and "upload" not in body:
            assert door.kept["/x"] == b"said=a+b%26c"
        if "upload" in body:
            assert b'name="file"; filename="x.png"\r\nContent-Type: image/png' in door.kept["/x"]
            assert b'name="title"' in door.kept["/x"]
    kinds = [kind.partition(";")[0] for kind in door.types]
    assert kinds == ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", "text/xml"]


def test_a_download_is_compared_byte_by_byte() -> None:
    door = Store(kept={"/file": b"\x00\xff"})
    digest = hashlib.sha256(b"\x00\xff").hexdigest()
    assert run_exchange(door, key(path="/file", sha256=digest), {}).endswith(f"SHA-256 {digest[:12]}")
    door.kept["/file"] += b"."
    with pytest.raises(Finding, match=f"3 bytes with SHA-256 .*, not {digest[:12]}"):
        run_exchange(door, key(path="/file", sha256=digest), {})


@pytest.mark.parametrize(
    ("path", "equals", "passes"),
    [
        ("[0].n", 1, True),
        ("[0].n", True, False),  # true is not 1
        ("[-1].n", 2.5, True),
        ("[*].n", [1, 2.5], True),
        ("[*].n", [1], False),
        ('[0]["a.b"].c', "x", True),
        ("[0].gone", 1, False),
        ("[7].n", 1, False),
        ("n", 1, False),
        ("[0].n[0]", 1, False),
        ("", [{"n": 1, "a.b": {"c": "x"}}, {"n": 2.5}], True),
    ],
)
def test_a_value_in_a_json_answer(path: str, equals: object, passes: bool) -> None:
    door = Store(kept={"/l": b'[{"n": 1, "a.b": {"c": "x"}}, {"n": 2.5}]'})
    table = key(path="/l", value={"path": path, "equals": equals})
    if passes:
        run_exchange(door, table, {})
    else:
        with pytest.raises(Finding, match="GET /l: "):
            run_exchange(door, table, {})


def test_an_answer_that_is_no_json_is_a_finding() -> None:
    with pytest.raises(Finding, match="not JSON: b'<html>'"):
        values_at(b"<html>", "a")


def test_a_path_of_an_answer_is_sent_whatever_characters_it_has() -> None:
    """A name with a space was a traceback; one with a line break in a header is a finding."""
    door = Store(
        kept={"/a": b'{"at": "/my ph\\u00f6to\\n1.jpg?w=1&h=%20"}', "/my%20ph%C3%B6to%0A1.jpg?w=1&h=%20": b"it"}
    )
    then = {"path": "@{answer:at}", "contains": "it"}
    assert "200, 2 bytes" in run_exchange(door, key(path="/a", then=then), {})
    headers = {"X-At": "@{answer:at}"}
    with pytest.raises(Finding, match=r"header X-At: '/my phöto\\n1\.jpg.*' cannot be sent in a header"):
        run_exchange(door, key(path="/a", then={"path": "/a", "contains": "at", "headers": headers}), {})


@dataclass
class Registering(Store):
    """A program that is ready before its path is: it answers 404 to the first requests."""

    absent: int = 2
    asked: int = 0

    def request(self, method: str, path: str, **more: Any) -> Answer:
        self.asked += 1
        return Answer(404, b"not registered", {}) if self.asked <= self.absent else Answer(200, b"accepted", {})


def test_the_first_request_waits_for_its_path_alone() -> None:
    table, late = key(path="/hook", contains="accepted"), Late(5.0, "is it published?")
    assert "200, 8 bytes" in run_exchange(Registering(), table, {}, late)
    with pytest.raises(Finding, match=r"GET /hook: answered 404, not 200: not registered$"):
        run_exchange(Registering(), table, {})
    with pytest.raises(Finding, match=r"not within 0\.1 s \(answered 404: not registered\); is it published\?$"):
        run_exchange(Registering(absent=1000), table, {}, Late(0.1, "is it published?"))


def test_neither_a_later_request_nor_a_declared_404_is_repeated() -> None:
    door, late = Registering(absent=1), Late(5.0, "")
    assert "answered 404" in run_exchange(door, key(path="/hook", status=404, contains="not"), {}, late)
    assert door.asked == 1
    first = {"path": "/a", "status": 404, "contains": "not", "then": {"path": "/b"}}
    with pytest.raises(Finding, match="GET /b: answered 404"):
        run_exchange(Registering(), key(**first), {}, late)
