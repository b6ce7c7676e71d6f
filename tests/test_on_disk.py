"""Collections that are on the disk when they grow: order, values, any text, several threads, a full disk."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.core.errors import HarnessError
from harness.on_disk import Lines, Names

# Any text, in the order of its UTF-8; the last is a byte that is none.
TEXTS = ["", " ", "%", "A", "a", "a\0b", "a/b", "a//b"[:1] + "b", "u\u0308", "ü", "\U0001f600", "\udcff"]


def test_names_are_a_set_in_the_order_of_their_bytes() -> None:
    names = Names(reversed(TEXTS))
    assert [names.add(text) for text in (*TEXTS, "new", "new")] == [*[False] * len(TEXTS), True, False]
    names.discard("new")
    names.discard("absent")
    assert [*names] == sorted(TEXTS, key=lambda text: text.encode("utf-8", "surrogateescape"))
    assert all(text in names for text in TEXTS)
    assert "new" not in names
    assert (bool(names), bool(Names())) == (True, False)


def test_a_name_has_the_last_value_that_was_put() -> None:
    names = Names(["b"])
    for value in ("first", "\udcff"):
        names.put("a", value)
    assert [*names.items()] == [("a", "\udcff"), ("b", "")]


def test_more_names_than_a_page_are_there_once_while_threads_ask() -> None:
    names = Names(str(number) for number in range(2500))
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(lambda: sum(str(number) in names for number in range(2400, 2600))) for _ in range(8)]
        assert [*names] == sorted(map(str, range(2500)))
        assert {one.result() for one in asked} == {100}
        assert sum(pool.map(lambda _: names.add("one"), range(100))) == 1


def test_lines_come_back_in_their_order() -> None:
    lines = Lines()
    wanted = [b'"%d \\u2028"\n' % (number % 7000) for number in range(20000)]
    assert [*lines] == []
    for line in wanted:
        lines.add(line)
    assert [*lines] == [*lines] == wanted


FULL = """
import resource
from harness.on_disk import Names
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
names = Names(str(number) * 20 for number in range(100_000))
"""


def test_a_full_disk_is_named_with_what_to_do() -> None:
    done = subprocess.run([sys.executable, "-c", FULL], stderr=subprocess.PIPE, text=True, check=False)
    found, where = done.stderr.splitlines()[-1], os.environ.get("SQLITE_TMPDIR", tempfile.gettempdir())
    # The first of the limit of this process, the other of a disk.
    assert found.partition("HarnessError: ")[2] in (
        f"temporary files in {where}: {why}; make room there, or name another folder with SQLITE_TMPDIR"
        for why in ("disk I/O error", "database or disk is full")
    )


def test_another_error_of_the_database_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    names = Names()
    monkeypatch.setattr(names._table, "_database", sqlite3.connect(":memory:"))
    with pytest.raises(HarnessError, match=r"temporary files in .*: no such table: t; make room"):
        names.add("a")
