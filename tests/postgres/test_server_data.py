"""The reader of `server.json`: whatever the bytes are, the answer is a value or `Unreadable`, one line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.errors import Unreadable
from harness.postgres.roles import data as roles
from harness.postgres.roles.data import Database, Grant, Membership, Role, ServerData, Setting, parse
from harness.postgres.roles.grants import by_dependency

pytestmark = pytest.mark.attacks("R1")
GOOD = ServerData(
    *(18, "postgres", "postgres"),
    roles=(Role("app", False, True, False, False, True, False, False, -1, None, None, None),),
    memberships=(Membership("app", "app", "", False, True, True),),
    settings=(Setting("app", "", "work_mem", "7MB"),),
    parameters=(Grant("work_mem", "", "app", "SET", False),),
    databases=(Database("shop", "app", "UTF8", "b", "C", "C", "C.UTF-8", None, False, -1, None, True),),
    grants=(Grant("shop", "app", "", "CONNECT", False),),
    labels=(),
    tablespaces=(),
    subscriptions=(),
)


def written(value: object) -> bytes:
    return json.dumps(value).encode()


def changed(path: tuple[str | int, ...], value: object) -> bytes:
    """Return good data with another value at one place."""
    data = json.loads(json.dumps(asdict(GOOD)))
    place = data
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return written(data)


def refusal(text: bytes) -> str:
    """Return why a text is refused, "" when it is not."""
    try:
        parse(text)
    except Unreadable as error:
        return str(error)
    return ""


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if path:
        yield path
    for step, below in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield from places(below, (*path, step))


PLACES = tuple(places(json.loads(json.dumps(asdict(GOOD)))))
WRONG: tuple[object, ...] = ([], {}, "18", 1.5, True, None, -1, "", "a\0b", "x" * 300, [[[]]], {"a": 1}, 10**30)


def test_good_data_come_back() -> None:
    assert parse(written(asdict(GOOD))) == GOOD


@pytest.mark.parametrize("path", PLACES, ids=lambda path: ".".join(map(str, path)))
def test_a_wrong_type_is_named_or_harmless(path: tuple[str | int, ...]) -> None:
    said = [line for wrong in WRONG if (line := refusal(changed(path, wrong)))]
    assert len(said) >= 5
    assert all(line.startswith(f"server.json: malformed at {path[0]}") and line.isprintable() for line in said)


@pytest.mark.parametrize(
    "path", [("evil",), ("roles", 0, "evil"), ("settings", 0, "evil\n\x1b[2J"), ("databases", 0, "x" * 10_000)]
)
def test_an_unknown_key_is_refused(path: tuple[str | int, ...]) -> None:
    with pytest.raises(Unreadable, match=r"^server\.json: malformed at ") as said:
        parse(changed(path, "x"))
    assert str(said.value).isprintable()
    assert len(str(said.value)) < 300


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe",
        b"[" * 1_000_000,
        b'{"a":' * 100_000,
        b'{"roles": ' + b"[" * 100_000,
        b'{"major": 1' + b"0" * 1_000_000 + b"}",
        written(asdict(GOOD)).replace(b'"app"', b'"\\ud800"'),
        written(asdict(GOOD)).replace(b'"app"', b'"\\u0000"'),
        written(asdict(GOOD)).replace(b'"app"', b'"\xed\xa0\x80"'),
        written(asdict(GOOD)) + b"{}",
        written(asdict(GOOD)).replace(b"-1", b"NaN"),
        written(asdict(GOOD)).replace(b"-1", b"-1e2"),
    ],
)
def test_malformed_text_is_refused(text: bytes) -> None:
    with pytest.raises(Unreadable, match=r"^server\.json: malformed at "):
        parse(text)


def test_a_text_of_any_size_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roles, "MOST", 100)
    with pytest.raises(Unreadable, match=r"server\.json: more than 100 bytes"):
        parse(b" " * 101)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_change_of_a_byte_is_a_value_or_unreadable(data: st.DataObject) -> None:
    text = bytearray(written(asdict(GOOD)))
    for _ in range(data.draw(st.integers(1, 5))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    assert refusal(bytes(text)).isprintable()


def test_a_long_chain_takes_no_longer_than_its_length() -> None:
    """Memberships, each granted by the member of the one before, in the worst order."""
    chain = list(range(50_000, 0, -1))
    assert list(by_dependency(chain, lambda n: n - 1 or None, lambda n: n, ())) == chain[::-1]
    assert list(by_dependency([3, 2], lambda n: n - 1, lambda n: n, ())) == [3, 2]  # what nothing gives comes last
