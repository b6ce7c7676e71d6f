"""Journal file: what its strict reader takes, and the reason for which it refuses all else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import Unreadable
from harness.evidence.journal import GENESIS, JournalFile, head_of, read_journal

Lines = list[bytes]


@pytest.fixture
def journal(tmp_path: Path) -> JournalFile:
    journal = JournalFile(tmp_path / "journal.jsonl")
    for number in range(1, 6):
        journal.mark("begin", f"phase {number}", message="2.2", size=number, share=0.5, good=True, what="é")
    return journal


def changed(change: Callable[[dict[str, Any]], object]) -> Callable[[Lines], Lines]:
    def edit(lines: Lines) -> Lines:
        data = json.loads(lines[2])
        change(data)
        return [*lines[:2], json.dumps(data).encode(), *lines[3:]]

    return edit


CHANGES: dict[str, tuple[Callable[[Lines], Lines], str]] = {
    "flipped byte": (lambda x: [*x[:2], x[2].replace(b"phase 3", b"phase 9"), *x[3:]], "line 3 was changed"),
    "dropped": (lambda x: x[:2] + x[3:], "event 3 is missing"),
    "first dropped": (lambda x: x[1:], "event 1 is missing"),
    "swapped": (lambda x: [x[0], x[2], x[1], *x[3:]], "events are swapped: line 2 has event 3"),
    "first and last swapped": (lambda x: [x[4], *x[1:4], x[0]], "events are swapped: line 1 has event 5"),
    "doubled": (lambda x: [*x[:3], x[2], *x[3:]], "line 4 has event 3, which is there twice"),
    "empty line": (lambda x: [*x, b""], "line 6 is not a journal line"),
    "no object": (lambda x: [*x, b"[]"], "line 6 is not a journal line"),
    "not UTF-8": (lambda x: [*x, b'{"n": "\xff"}'], "line 6 is not a journal line"),
    "deep": (lambda x: [*x, b"[" * 100_000], "line 6 is not a journal line"),
    "further key": (changed(lambda d: d.update(more=1)), r"line 3 .*more: Unexpected"),
    "no key": (changed(lambda d: d.pop("prev")), r"line 3 .*prev"),
    "key twice": (lambda x: [*x[:4], x[4].replace(b'{"n"', b'{"n": 4, "n"')], r"line 5 .*twice"),
    "text as number": (changed(lambda d: d.update(n="3")), r"line 3 .*n: "),
    "truth as number": (changed(lambda d: d.update(n=True)), r"line 3 .*n: "),
    "infinite": (lambda x: [x[0].replace(b'"share": 0.5', b'"share": 1e999'), *x[1:]], r"line 1 .*facts"),
    "not a number": (changed(lambda d: d.update(at=float("nan"))), r"line 3 .*at: "),
    "nested fact": (changed(lambda d: d["facts"].update(size=[1])), r"line 3 .*facts"),
    "no time": (changed(lambda d: d.update(wall="yesterday")), r"line 3 .*yesterday"),
}


def test_a_journal_is_read_back(journal: JournalFile) -> None:
    assert [e.facts for e in read_journal(journal.path)] == [e.facts for e in journal.events]
    assert [e.at for e in read_journal(journal.path)] == [e.at for e in journal.events]
    last = journal.path.read_bytes().splitlines()[-1]
    assert head_of(journal.path, 5) == hashlib.sha256(last).hexdigest()
    assert head_of(journal.path, 6) is None
    assert head_of(journal.path, 0) is None


@pytest.mark.parametrize(("change", "said"), CHANGES.values(), ids=CHANGES)
def test_a_changed_journal_is_refused_with_the_line_and_the_reason(
    journal: JournalFile, change: Callable[[Lines], Lines], said: str
) -> None:
    lines = journal.path.read_bytes().splitlines()
    journal.path.write_bytes(b"\n".join(change(lines)) + b"\n")
    with pytest.raises(Unreadable, match=said):
        read_journal(journal.path)


def test_a_journal_that_ends_in_half_a_line_is_refused(journal: JournalFile) -> None:
    whole = journal.path.read_bytes()
    for text in (whole[:-1], whole[:-20], b""):
        journal.path.write_bytes(text)
        with pytest.raises(Unreadable, match="last line is not complete"):
            read_journal(journal.path)
    with pytest.raises(Unreadable, match="No such file"):
        read_journal(journal.path.with_name("none"))


def test_an_interrupted_journal_is_continued(journal: JournalFile) -> None:
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole + b'{"n": 6, "at"')
    again = JournalFile(journal.path)
    again.resume()
    again.mark("resumed", "recovery")
    events = read_journal(journal.path)
    assert [event.kind for event in events] == ["begin"] * 5 + ["resumed"]
    assert [event.at for event in events] == [event.at for event in again.events]
    assert journal.path.read_bytes().startswith(whole)


def test_a_journal_that_was_changed_is_not_continued(journal: JournalFile) -> None:
    journal.path.write_bytes(journal.path.read_bytes().replace(b"phase 3", b"phase 9"))
    with pytest.raises(Unreadable, match="line 3 was changed"):
        JournalFile(journal.path).resume()


@given(st.binary(max_size=200))
def test_whatever_the_bytes_a_journal_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_bytes(text)
    with pytest.raises(Unreadable):
        read_journal(path)


def test_the_first_line_has_no_line_before_it(journal: JournalFile) -> None:
    assert json.loads(journal.path.read_bytes().splitlines()[0])["prev"] == GENESIS


def test_the_writing_of_each_event_has_its_begin_and_end(journal: JournalFile) -> None:
    assert [begin for begin, _ in journal.writes] == [event.at for event in journal.events]
    assert all(begin <= end < begin + 5 for begin, end in journal.writes)
