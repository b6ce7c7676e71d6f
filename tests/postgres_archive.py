"""Dumps in custom format that no pg_dump wrote: a table of contents with any entries, and no data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Made:
    """An entry of a dump; `section`: 2 before the data, 3 data, 4 after them, 1 none."""

    kind: str
    name: str
    text: str = ""
    schema: str = ""
    owner: str = "postgres"
    section: int = 2
    copy: str = ""


def number(value: int) -> bytes:
    return bytes([value < 0]) + abs(value).to_bytes(4, "little")


def text(value: str | bytes | None) -> bytes:
    if value is None:
        return number(-1)
    data = value.encode() if isinstance(value, str) else value
    return number(len(data)) + data


def archive(*entries: Made, count: int | None = None) -> bytes:
    """Return a dump in custom format, archive version 1.14, with the usual settings of a session."""
    settings = (
        Made("ENCODING", "ENCODING", "SET client_encoding = 'UTF8';\n"),
        Made("STDSTRINGS", "STDSTRINGS", "SET standard_conforming_strings = 'on';\n"),
    )
    every = (*settings, *entries)
    head = b"PGDMP" + bytes([1, 14, 0, 4, 8, 1]) + number(0) + b"".join(map(number, (0, 0, 0, 1, 0, 126, 0)))
    head += text("shop") + text("18.1") + text("18.1") + number(len(every) if count is None else count)
    return head + b"".join(_entry(at, entry) for at, entry in enumerate(every, 1))


def _entry(at: int, entry: Made) -> bytes:
    return b"".join(
        (
            *(number(at), number(bool(entry.copy)), text("0"), text("0"), text(entry.name), text(entry.kind)),
            *(number(entry.section), text(entry.text), text(""), text(entry.copy or None), text(entry.schema or None)),
            *(text(None), text(None), text(entry.owner), text("false"), text(None)),
            bytes([3 if not entry.copy else 1]) + bytes(8),  # no data, or their place is not known
        )
    )
