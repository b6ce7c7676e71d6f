"""Requests that no client can send, or whose answer says nothing of the service: refused when they are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.services.http.table import table_name
from tests.cli.test_oddities import DATABASES, RIGHT, check, with_more

KEYS = next(line for line in RIGHT.splitlines() if line.startswith("keys ="))


def asked(request: str, path: str = "/guestbook/a") -> str:
    """Return the declaration with another key function."""
    return RIGHT.replace(KEYS, f'keys = [{{ path = "{path}", {request} }}]')


REFUSED: dict[str, tuple[str, str]] = {
    "a path to another service": (
        asked('contains = "x"', "/guestbook/../other"), "path: '/guestbook/../other' has . or .. in it"),
    "the same, encoded": (asked('contains = "x"', "/guestbook/%2e%2E/other"), "has . or .. in it"),
    "a header of two lines": (
        asked('contains = "x", headers = { A = "b\\r\\nC: d" }'), "headers: A: its value must be in one line"),
    "a header with other letters": (asked('contains = "x", headers = { A = "☃" }'), "headers: A: its value must be"),
    "a header's name": (asked('contains = "x", headers = { "A B" = "b" }'), "headers: 'A B' is no name of a header"),
    "a length of one's own": (
        asked('contains = "x", headers = { content-length = "9" }'), "headers: content-length is set by the client"),
    "a date in JSON": (
        asked('contains = "x", method = "POST", json = { a = [2020-01-01] }'),
        "json: 2020-01-01 has no form in JSON; put it in quotes"),
    "no number in JSON": (asked('contains = "x", method = "POST", json = { a = nan }'), "json: nan has no form in"),
    "a date for a value": (
        asked('value = { path = "a", equals = 12:00:00 }'), "value.equals: 12:00:00 has no form in JSON"),
    "an answer without a body": (
        asked('contains = "x", status = 204'), "status: an answer of 204 has no body, and `contains` asks for one"),
    "what a gateway says of a dead service": (
        asked('contains = "Bad Gateway", status = 502'), "status: 502 is what the gateway answers without the service"),
    "the same of a second request": (
        asked('contains = "x", then = { path = "/guestbook/b", status = 503 }'), "status: 503 is what the gateway"),
    "no final answer": (asked('contains = "x", status = 100'), "status: must be greater than or equal to 200"),
    "a name of two lines": (asked('contains = "x", name = "a\\nb"'), "one line without control characters (U+000A)"),
    "a prefix with a broken escape": (RIGHT.replace("/guestbook", "/gu%zz"), "prefix: '/gu%zz' is no path"),
    "a path of two lines to be ready at": (RIGHT.replace('ready = "/"', 'ready = "/a\\n"'), "ready: must match"),
    "a query without words": (
        with_more('files = [{ volume = "m", database = "guestbook", referenced = " " }]'),
        "files.0.referenced: must be a query"),
    "a table without its schema": (
        with_more('volatile = ["entry"]'), "volatile.0: 'entry' is no table with its schema, quoted as in SQL"),
    "a table without its quotes": (with_more('volatile = ["public.Entry"]'), "'public.Entry' is no table with its"),
    "a database that nothing connects to": (
        RIGHT.replace(DATABASES, 'databases = ["template0"]'), "databases.0: 'template0' takes no connections"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_one_clear_line(tmp_path: Path, name: str) -> None:
    text, said = REFUSED[name]
    (line,) = check(tmp_path, text)
    assert said in line
    assert "\n" not in line


@pytest.mark.parametrize(
    "text",
    [
        asked('contains = "x"', "/guestbook/a b/ä?c=..d/.."),
        asked('contains = "x", status = 404, headers = { X-Name = "Jürgen", Host = "other.test" }'),
        asked('contains = "@{new}", method = "POST", json = { a = [1.5, true, { b = "2020-01-01" }] }'),
        with_more('volatile = ["public.entry", "\\"My Schema\\".\\"a \\"\\"b\\""]'),
        asked('contains = "x", name = "Accueil\u00a0: page \U0001f468\u200d\U0001f4bb"'),
    ],
)
def test_what_can_be_sent_is_taken(tmp_path: Path, text: str) -> None:
    assert check(tmp_path, text) == []


@pytest.mark.parametrize(
    ("declared", "as_checks_write_it"),
    [
        ("public.entry", "public.entry"),
        ('"public"."entry"', "public.entry"),
        ('public."Entry"', 'public."Entry"'),
        ('"a.b"."c ""d"""', '"a.b"."c ""d"""'),
    ],
)
def test_a_volatile_table_is_named_as_the_checks_of_a_restore_name_it(declared: str, as_checks_write_it: str) -> None:
    assert table_name(declared) == as_checks_write_it
