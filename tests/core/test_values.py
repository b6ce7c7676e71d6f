"""Journal, placeholders, sequence, contents and record."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harness.core.contents import (
    PREPARED,
    Contents,
    DatabaseFacts,
    Gap,
    Missing,
    Parent,
    PhysicalFacts,
    SystemFacts,
    TableFacts,
    TreeFacts,
)
from harness.core.errors import HarnessError
from harness.core.journal import MemoryJournal, messages_seen, phase
from harness.core.judge import Promise
from harness.core.node import Address, Endpoint
from harness.core.record import FORMAT, Promised
from harness.core.render import render, secrets_in
from harness.core.sequence import MESSAGES, Branch, expected, unseen
from harness.core.service import Answer, AssertionResult, Contained, KeyFunction, Sources, Sql
from tests.records import a_record

ROOT = Path(__file__).resolve().parents[2]


def test_a_phase_is_journalled_with_its_end_or_its_failure() -> None:
    journal = MemoryJournal()
    with phase(journal, "good", message="2.2"):
        pass
    with pytest.raises(ValueError, match="broke"), phase(journal, "bad"):
        raise ValueError("broke")
    with pytest.raises(KeyError), phase(journal, "silent"):
        raise KeyError
    kinds = [(e.kind, e.subject) for e in journal.events]
    assert kinds[:4] == [("begin", "good"), ("end", "good"), ("begin", "bad"), ("failed", "bad")]
    assert journal.events[3].facts["error"] == "broke"
    assert journal.events[5].facts["error"] == "KeyError"


def test_messages_are_seen_once_in_order() -> None:
    journal = MemoryJournal()
    for number in ("1.2", "", "1.1", "1.2"):
        journal.mark("x", "y", message=number)
    assert messages_seen(journal.events) == ("1.2", "1.1")


def test_placeholders_are_filled_and_unknown_ones_refused() -> None:
    look_up = {"port": {"http": "80"}.__getitem__}
    assert render("a @{port:http} b", look_up) == "a 80 b"
    with pytest.raises(HarnessError, match="no port of that name"):
        render("@{port:sql}", look_up)
    with pytest.raises(HarnessError, match="a secret is not allowed here"):
        render("@{secret:x}", look_up)
    assert secrets_in("@{secret:a} @{port:b} @{secret:c|json}") == ("a", "c")


def test_a_placeholder_within_json_keeps_it_whole() -> None:
    path = 'a "b"\\c'
    look_up = {"file": {"x": path}.__getitem__}
    assert json.loads(render('["@{file:x|json}/@{file:x|json}"]', look_up)) == [f"{path}/{path}"]
    assert render("@{file:x}", look_up) == path


def test_every_message_of_the_sequence_has_a_file_and_a_branch() -> None:
    numbers = [m.number for m in MESSAGES]
    assert len(set(numbers)) == len(numbers)
    assert expected(Branch.RESTORE_FAILURE) == ("2.5.1", "2.5.2")
    assert unseen(tuple(numbers)) == ()
    assert unseen(("1.1",), Branch.BACKUP_FAILURE) == ("1.7.1", "1.7.2")
    for message in MESSAGES:
        assert (ROOT / message.where).exists(), f"{message.number}: {message.where} does not exist"


def test_every_message_with_a_file_is_emitted_by_the_harness() -> None:
    text = "\n".join(p.read_text() for p in (ROOT / "harness").rglob("*.py") if p.name != "sequence.py")
    for message in MESSAGES:
        assert re.search(rf'"{re.escape(message.number)}"', text), f"no code emits {message.number}"


def test_contents_count_from_the_oldest_snapshot() -> None:
    def facts(name: str, hour: int) -> DatabaseFacts:
        at = datetime(2026, 1, 1, hour, tzinfo=UTC)
        return DatabaseFacts(name, "o", "UTF8", "C", 1, at, 0.0, (TableFacts("t", 2, "d"), TableFacts("u", 3, "e")))

    contents = Contents(SystemFacts("1", "18.6", 1), (facts("a", 2), facts("b", 1)), (), ())
    assert contents.snapshot_at.hour == 1
    assert contents.rows == 10
    assert contents.system.major == 18
    begun = datetime(2026, 1, 2, tzinfo=UTC)
    base = PhysicalFacts(1, 0, 1, 16 << 20, begun, begun, "postgres", checksums=True)
    full = replace(contents, databases=(), physical=base)
    assert full.snapshot_at == begun
    assert full.covered[0].startswith("all databases of system ")
    later = replace(full, physical=replace(base, parent=Parent(4, "monday", "ab")))
    assert later.covered[0] == f"{full.covered[0]}, what changed since backup monday"


def test_contents_say_what_is_covered_and_what_is_not() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    table = TableFacts("t", 2, "d")
    database = DatabaseFacts("a", "o", "UTF8", "C", 1, at, 0.0, (table,), not_compared=("unlogged table u",))
    lost = (Missing("x.png", "no such file"), Missing("s", "is a socket"))
    trees = (TreeFacts("files", 1, 3, "d", missing=lost), TreeFacts("bucket b", 0, 0, "d", found=True))
    gaps = (Gap("database c", "no connections"), Gap("volume v", "left out", "a cache"))
    contents = Contents(SystemFacts("1", "18", 1), (database,), trees, (), gaps)
    assert contents.covered == (
        "database a: 1 tables, 2 rows",
        "files: 1 files, 3 bytes",
        "bucket b: 0 files, 0 bytes; found on the primary, declared by no service",
    )
    assert contents.uncovered == ("database c: no connections",)
    assert contents.excluded == ("volume v: left out; excluded: a cache",)
    open_ones = Gap(f"{PREPARED}a", "no dump has them")
    both = replace(contents, gaps=(*gaps, open_ones))
    assert both.lacking() == ("database c: no connections", str(open_ones))
    assert both.lacking(base=True) == ("database c: no connections",)  # a base backup has them
    assert contents.missing == ("files: x.png: no such file",)
    assert contents.not_compared == ("database a: unlogged table u",)


def test_a_name_that_is_no_text_is_shown_in_one_line_and_kept() -> None:
    names = ("ü b", "latin\udce9", "latin\\xe9", "two\nlines")
    lost = [Missing.of(name, "no such file") for name in names]
    assert [one.path for one in lost] == ["ü b", "latin\\xe9", "latin\\xe9", "two\\nlines"]
    assert [one.name for one in lost] == list(names)
    assert [bool(one.raw) for one in lost] == [False, True, False, True]


def test_an_address_is_printed_as_host_and_port() -> None:
    assert str(Address("localhost", 5432)) == "localhost:5432"


def test_a_record_names_its_format_and_the_budgets_of_its_promise() -> None:
    assert a_record().format == FORMAT
    promise = Promise("p", timedelta(minutes=1), timedelta(0), timedelta(hours=1), "ops", "because", 2)
    assert Promised.of(promise) == Promised("p", "ops", "because", 60.0, 0.0, 3600.0, 2)


def test_sources_are_empty_by_default() -> None:
    assert Sources() == Sources((), (), (), (), (), ())
    contained = Contained("odoo", ("cron:1",))
    assert contained.actions == ("cron:1",)
    answer = Answer(200, b"", {})
    assert KeyFunction("log in", "odoo", "2.8.1", lambda _door: str(answer.status)).message == "2.8.1"


def test_other_sites_use_the_client_address_of_a_node_unless_it_has_another() -> None:
    inside, outside, across = (Address("gateway", 1), Address("127.0.0.1", 2), Address("gateway.dr", 3))
    assert Endpoint(inside, outside).from_afar == outside
    assert Endpoint(inside, outside, across).from_afar == across


def test_an_ipv6_address_is_written_in_brackets_and_all_hosts_of_a_server_are_named() -> None:
    first, second = Address("fd00::1", 5432), Address("db.shop.test", 5433)
    assert str(first) == "[fd00::1]:5432"
    assert str(Sql(first, first, "odoo", "env:PG", others=(second,))) == "[fd00::1]:5432,db.shop.test:5433"


def test_the_line_of_an_assertion_says_whether_it_failed() -> None:
    assert AssertionResult("n8n", "credentials", True, "all 2 can").line == "database n8n: credentials: all 2 can"
    assert AssertionResult("n8n", "credentials", False, "1 of 2").line == "database n8n: credentials: FAILED: 1 of 2"
    assert AssertionResult("n8n", "packages", None, "absent").line == "database n8n: packages: UNKNOWN: absent"


@pytest.mark.parametrize(
    ("reason", "uncounted"),
    [
        ("is a symbolic link", True),
        ("is a symbolic link within its volume", False),
        ("cannot be read: Permission denied", True),
        ("is a FIFO", False),
        ("no such file", False),
    ],
)
def test_what_leads_to_files_that_nobody_counted_is_more_than_one_missing_file(reason: str, *, uncounted: bool) -> None:
    assert Missing("path", reason).uncounted is uncounted
