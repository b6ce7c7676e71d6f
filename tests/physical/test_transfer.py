"""A database that did not arrive whole is no copy: what ended without success, or differs, is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.contents import SequenceFacts, TableFacts
from harness.core.errors import RestoreFailed
from harness.physical.single import transfer as module
from harness.physical.single.transfer import transfer

ORDERS, IDS = TableFacts("public.orders", 3, "ab"), SequenceFacts("public.ids", 9, called=True)


def copied(patch: pytest.MonkeyPatch, codes: tuple[int, int], arrived: tuple[Any, ...]) -> tuple[TableFacts, ...]:
    """Copy a database whose two programs end so, and of which so much arrives."""

    def piped(dump: Any, load: Any) -> tuple[int, int]:
        dump[2].write(b"pg_dump: error: no permission\n")
        load[2].write(b"pg_restore: error: no such role\n")
        return codes

    there: Any = SimpleNamespace(password_ref="", outside="here")
    into: Any = SimpleNamespace(sql=there, name="new", major=18, where="--database new")
    for name in ("client_program", "conninfo", "for_password_file"):
        patch.setattr(module, name, lambda *words, **_more: str(words[0]))
    patch.setattr(module, "must_encrypt", lambda _sql: False)
    patch.setattr(module, "_env", lambda *_words: {})
    patch.setattr(module, "_piped", piped)
    patch.setattr(module, "_facts", lambda sql, _name: arrived if sql is there else (ORDERS, IDS))
    programs: Any = SimpleNamespace(folder=Path("bin"), major=18, tags={})
    return transfer(programs, SimpleNamespace(), "shop", into, owners=True)  # type: ignore[arg-type]


def test_a_whole_copy_is_told_by_its_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    assert copied(monkeypatch, (0, 0), (ORDERS, IDS)) == (ORDERS,)


@pytest.mark.parametrize(
    ("codes", "arrived", "said"),
    [
        ((1, 0), (ORDERS, IDS), r"--database new: pg_dump: no permission \(exit code 1\)"),
        ((-13, 1), (ORDERS, IDS), r"--database new: pg_restore: no such role \(exit code 1\)"),
        ((-9, 0), (ORDERS, IDS), "--database new: pg_dump ended with -9, pg_restore with 0"),
        ((0, 0), (ORDERS,), "1 tables or sequences differ from the backup: public.ids"),
        (
            (0, 0),
            (TableFacts("public.orders", 2, "cd"), IDS),
            "1 tables or sequences differ from the backup: public",
        ),
    ],
)
def test_a_copy_that_did_not_arrive_whole_is_refused(
    monkeypatch: pytest.MonkeyPatch, codes: tuple[int, int], arrived: tuple[Any, ...], said: str
) -> None:
    with pytest.raises(RestoreFailed, match=said):
        copied(monkeypatch, codes, arrived)
