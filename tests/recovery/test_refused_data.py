"""What a backup says of its databases is bounded and plain before a restore uses it. No server is needed."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.errors import RestoreFailed, Unreadable, UsageError
from harness.estate.secrets import PRIVATE_KEY
from harness.recovery import exposure, restore_databases
from harness.recovery.restore_databases import DatabaseRestore, require_locks, server_data


def restore(path: str = "databases/0001") -> DatabaseRestore:
    facts = SimpleNamespace(name="shop", path=path)
    manifest = SimpleNamespace(contents=SimpleNamespace(databases=(facts,)))
    backup: Any = SimpleNamespace(manifest=manifest)
    return DatabaseRestore(None, backup, None, 1)  # type: ignore[arg-type]


def test_server_wide_data_are_read_no_further_than_they_may_be_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.postgres.roles.data.MOST", 100)
    read: list[int] = []

    def chunks(_path: str) -> Iterator[bytes]:
        for number in range(100):
            read.append(number)
            yield bytes(30)

    with pytest.raises(Unreadable, match="more than 100 bytes"):
        server_data(SimpleNamespace(read=chunks))  # type: ignore[arg-type]
    assert read == [0, 1, 2, 3]


def test_server_wide_data_that_were_not_fetched_are_not_used() -> None:
    with pytest.raises(Unreadable, match="not fetched"):
        _ = restore().server


@pytest.mark.parametrize("path", ["", "../outside", "/etc/passwd", "databases/../../x"])
def test_a_dump_has_a_plain_path(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setattr(restore_databases, "server_data", lambda _backup: SimpleNamespace(tablespaces=()))
    restore().fetch()
    with pytest.raises(Unreadable, match=r"database shop: .* is no path of a dump"):
        restore(path).fetch()


def test_a_server_that_cannot_lock_the_tables_is_refused_before_anything_is_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(restore_databases, "lacking_room", lambda _sql, tables: "no room" if tables > 5 else "")
    sql: Any = SimpleNamespace(outside="db:5432")
    few, many = (SimpleNamespace(tables=(None,) * number) for number in (2, 4))
    require_locks(sql, (few, many), 1)  # type: ignore[arg-type]
    with pytest.raises(RestoreFailed, match="PostgreSQL at db:5432: no room; nothing was changed"):
        require_locks(sql, (few, many), 2)  # type: ignore[arg-type]


def test_exposure_needs_the_key_that_opens_the_backups() -> None:
    dr = SimpleNamespace(secrets={}, site=SimpleNamespace(name="dr"))
    with pytest.raises(UsageError, match=f"site dr: no secret {PRIVATE_KEY}; add it; it opens the backups"):
        exposure.exposed_at(SimpleNamespace(recovered=dr), None)  # type: ignore[arg-type]
