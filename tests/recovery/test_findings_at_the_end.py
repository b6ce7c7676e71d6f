"""What a recovery finds when its services run and at sign-off: lost data, a database that is nowhere, files unread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.errors import Finding
from harness.core.journal import MemoryJournal
from harness.core.service import Objects, Sources, Tree
from harness.recovery import sign_off as module
from harness.recovery import start
from harness.recovery.key_functions import unread
from harness.recovery.sign_off import SignOff, check_again
from harness.recovery.start import find_connections

NOTHING: Any = None
TREE, BUCKET = Tree("files", "shop", "files"), Objects("receipts")
SOURCES = Sources(("shop",), (TREE,), objects=(BUCKET,), volatile=("public.log",))
SERVICE: Any = SimpleNamespace(name="shop", sources=lambda: SOURCES)


def signed_off(patch: pytest.MonkeyPatch, losses: tuple[str, ...], differences: tuple[str, ...]) -> SignOff:
    """Check a shop that is written to, and a database that nobody writes to, which differ so from the backup."""

    @contextmanager
    def clerk(sql: object) -> Iterator[object]:
        yield sql

    comparisons = {"losses": lambda *_words: losses, "differences": lambda *_words: differences}
    patch.setattr(module, "checks", SimpleNamespace(**comparisons))
    patch.setattr(module, "clerk", clerk)
    patch.setattr(module, "replace", lambda place, **_more: place)
    patch.setattr(module, "schema_path", lambda facts: facts.name)
    patch.setattr(module, "files_lost_since", lambda *_words: SimpleNamespace(lost=[], changed=()))
    contents = SimpleNamespace(databases=(SimpleNamespace(name="shop"), SimpleNamespace(name="archive")))
    restored: Any = SimpleNamespace(contents=contents, inventories=())
    place: Any = SimpleNamespace(sql=None, site=None)
    return check_again(place, (SERVICE,), restored, SimpleNamespace(read=str), MemoryJournal(), 1)  # type: ignore[arg-type]


def test_what_was_lost_since_the_restore_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    assert signed_off(monkeypatch, ("table public.log: 0 rows",), ()).databases == 2
    for losses, differences, said in (
        (("table public.orders: missing",), (), "shop: table public.orders: missing"),
        ((), ("owner: other",), "archive: owner: other"),
    ):
        with pytest.raises(Finding, match=f"^restored data was lost before sign-off: {said}$"):
            signed_off(monkeypatch, losses, differences)


def test_a_database_that_is_nowhere_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "system_facts", lambda _sql: SimpleNamespace(identifier="dr", timeline=1))
    service: Any = SimpleNamespace(name="shop", sources=lambda: Sources(("shop",), role="shop"))
    contents: Any = SimpleNamespace(databases=(), system=SimpleNamespace(identifier="primary"))
    with pytest.raises(Finding, match="shop: its database shop is not in the backup, and not on the DR server"):
        find_connections(NOTHING, (service,), contents, MemoryJournal(), {})


def test_files_that_no_key_function_reads_are_named() -> None:
    trees = (SimpleNamespace(name="files", files=2), SimpleNamespace(name="bucket receipts", files=1))
    contents: Any = SimpleNamespace(trees=trees)
    assert unread((SERVICE,), contents) == (
        "files: shop: no key function reads volume shop, which has 2 files",
        "files: shop: no key function reads bucket receipts, which has 1 files",
    )
