"""Each comparison of a restored server with its backup finds what it is for. Without a server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.contents import DatabaseFacts, SequenceFacts, TableFacts
from harness.core.errors import BackupFailed, HarnessError
from harness.postgres import checks, dump, facts
from harness.postgres.contents import properties, rows
from harness.postgres.contents.schema_check import compared
from harness.postgres.facts import DatabaseRow, Sequence
from harness.postgres.roles import check as roles
from harness.postgres.roles.data import Database, Grant, Role, ServerData, Setting

NOTHING: Any = None
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROW = DatabaseRow("shop", "UTF8", "icu", 1, template=False, limit=-1)
FACTS = DatabaseFacts(
    "shop", "shop", "UTF8", "icu", 1, NOON, 1.0, (TableFacts("public.orders", 3, "ab"),),
    (SequenceFacts("public.ids", 9, called=True),), "databases/1", "12", (("extension hstore", "1.8"),), (),
    template=False, limit=-1,
)  # fmt: skip
IDS = Sequence("public.ids", 1, cycles=False, value=9, called=True)
SCHEMA = b"-- Name: orders; Type: TABLE; Schema: public; Owner: shop\n\nCREATE TABLE public.orders (number int);\n"


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a database has by now, by the function that reads it; at first what the backup has."""
    here: dict[str, Any] = {
        "read_database": ROW,
        "read_tables": FACTS.tables,
        "read_sequences": (IDS,),
        "read_properties": FACTS.properties,
        "read_collations": (),
    }

    @contextmanager
    def reading(*_words: object) -> Iterator[None]:
        yield

    monkeypatch.setattr(checks, "_reading", reading)
    monkeypatch.setattr(checks, "prepared_locks", lambda _connection: ())
    for module in (facts, rows, properties):
        for name in here:
            if hasattr(module, name):
                monkeypatch.setattr(module, name, lambda *_words, _name=name, **_more: here[_name])
    return here


@pytest.mark.parametrize(
    ("name", "value", "line", "lost"),
    [
        ("read_database", replace(ROW, owner="other"), "owner: other, expected shop", False),
        ("read_tables", (), "table public.orders: missing", True),
        ("read_tables", (TableFacts("public.orders", 2, "ab"),), "table public.orders: 2 rows, ", True),
        ("read_tables", (TableFacts("public.orders", 3, "cd"),), "table public.orders: other contents", False),
        ("read_sequences", (), "sequence public.ids: missing", True),
        ("read_sequences", (replace(IDS, value=8),), "sequence public.ids: at 8, behind 9", True),
        ("read_properties", (), "extension hstore: missing", True),
    ],
)
def test_each_difference_is_found_and_what_services_must_not_lose(
    found: dict[str, Any], name: str, value: object, line: str, lost: bool
) -> None:
    assert (checks.differences(NOTHING, FACTS), checks.losses(NOTHING, FACTS)) == ((), ())
    found[name] = value
    assert [one.startswith(line) for one in checks.differences(NOTHING, FACTS)] == [True]
    assert [one.startswith(line) for one in checks.losses(NOTHING, FACTS)] == [True] * lost


def test_another_version_of_a_collation_is_found(found: dict[str, Any]) -> None:
    sorted_by = replace(FACTS, properties=(("collation public.german", "153.1"),))
    found["read_collations"] = (("collation public.german", "153.2"),)
    (line,) = checks.other_collations(NOTHING, sorted_by)
    assert line.startswith("collation public.german: version 153.2 here, 153.1 in the backup")
    assert checks.other_collations(NOTHING, FACTS) == ()


def test_what_is_gone_from_the_schema_is_a_difference_and_a_loss(
    found: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found
    lines = ("TABLE public.orders: missing", "TABLE public.more: not in the backup")
    monkeypatch.setattr(checks, "compared", lambda *_words: iter(lines))
    site: Any = SimpleNamespace()
    whole = replace(FACTS, schema="ab")
    said = tuple(f"schema: {line}" for line in lines)
    assert checks.differences(NOTHING, whole, site) == said
    assert checks.losses(NOTHING, whole, site) == said[:1]


@pytest.mark.parametrize(
    ("now", "line"),
    [
        (SCHEMA.replace(b"number int", b"number bigint"), "`CREATE TABLE public.orders (number bigint);`, expected `"),
        (SCHEMA.replace(b"Owner: shop", b"Owner: other"), "owner other, expected shop"),
        (b"", "missing"),
        (SCHEMA + SCHEMA.replace(b"orders", b"more"), "not in the backup"),
    ],
)
def test_each_change_of_a_schema_is_one_line(now: bytes, line: str) -> None:
    (said,) = compared(lambda: (now,), lambda: (SCHEMA,), "another digest")
    assert line in said


def server(**more: Any) -> ServerData:
    role = Role(
        "shop", superuser=False, inherit=True, createrole=False, createdb=False, login=True, replication=False,
        bypassrls=False, limit=-1, verifier=None, until=None, comment=None,
    )  # fmt: skip
    database = Database("shop", "shop", "UTF8", "c", "C", "C", None, None, False, -1, None, True)
    setting = Setting("shop", "", "work_mem", "4MB")
    grant = Grant("shop", "shop", "shop", "CONNECT", grantable=False)
    made = ServerData(18, "postgres", "postgres", (role,), (), (setting,), (), (database,), (grant,), (), (), ())
    return replace(made, **more)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda data: {"roles": ()}, "role shop: missing"),
        (lambda data: {"roles": (replace(data.roles[0], login=False),)}, "role shop: another login"),
        (
            lambda data: {"settings": (replace(data.settings[0], value="1MB"),)},
            "setting work_mem of role shop: ",
        ),
        (lambda data: {"databases": (replace(data.databases[0], limit=5),)}, "database shop: another limit"),
        (lambda data: {"grants": ()}, "grant missing: database shop: CONNECT to shop by shop"),
    ],
)
def test_each_difference_of_a_server_is_found(monkeypatch: pytest.MonkeyPatch, change: Any, line: str) -> None:
    here = server()
    monkeypatch.setattr(roles, "inspect", lambda _sql: here)
    assert roles.differences(NOTHING, server(), ("shop",)) == ()
    here = server(**change(server()))
    assert any(one.startswith(line) for one in roles.differences(NOTHING, server(), ("shop",)))


def test_a_dump_that_fails_names_its_database_and_who_blocks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def connection(*_words: object, **_more: object) -> Iterator[None]:
        yield

    snapshot = SimpleNamespace(late=SimpleNamespace(set=lambda: None), cancel=lambda: None)
    monkeypatch.setattr(dump, "connect", connection)
    monkeypatch.setattr(dump, "_take", lambda *_words: snapshot)
    for blocked, said, expected in (
        ("", "it ended with code 1", "^database shop: it ended with code 1$"),
        ("", "database shop: it ended", "^database shop: it ended$"),
        ("; blocked by 7", "database shop: it ended", "^database shop: database shop: it ended; blocked by 7$"),
    ):
        monkeypatch.setattr(dump, "_blocker", lambda *_words, _blocked=blocked: _blocked)
        with pytest.raises(BackupFailed, match=expected), dump.open_snapshot(NOTHING, "shop"):
            raise BackupFailed(said)
    with pytest.raises(HarnessError, match=r"^the store is full$"), dump.open_snapshot(NOTHING, "shop"):
        raise HarnessError("the store is full")
