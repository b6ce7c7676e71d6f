"""Declared assertions on restored databases, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from harness.core.service import Sql
from harness.estate.config import AssertionTable, Config
from harness.patience import PATIENCE
from harness.postgres.server import connect
from harness.recovery.assertions import run_assertions
from tests.servers import embedded, start_database

pytestmark = pytest.mark.programs
TABLES = {
    "estate": {"name": "shop", "zone": "shop.test"},
    "sites": {"primary": {"edge": "127.0.0.2"}, "dr": {"edge": "127.0.0.3"}},
    "services": {"gateway": {"kind": "gateway"}},
}


@pytest.fixture(scope="module")
def sql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sql]:
    home = tmp_path_factory.mktemp("assertions")
    with embedded(home) as substrate:
        server = start_database(substrate.site("dr"), home).sql
        with connect(server) as connection:
            connection.execute("CREATE DATABASE app")
        with connect(server, "app") as connection:
            connection.execute("CREATE TABLE orders (id int, price numeric, said text, ok bool, at timestamptz)")
            connection.execute(
                "INSERT INTO orders VALUES (1, 1.10, 'x', true, '2026-01-02 03:04:05Z'), (2, 2, NULL, NULL, NULL)"
            )
        yield server


def declared(*assertions: dict[str, object], database: str = "app") -> Config:
    return Config.model_validate({**TABLES, "databases": {database: {"assertions": list(assertions)}}})


@pytest.mark.parametrize(
    ("query", "expected", "passed"),
    [
        ("SELECT count(*) FROM orders", {"returns": 2}, True),
        ("SELECT count(*) FROM orders", {"returns": 3}, False),
        ("SELECT count(*) FROM orders", {"returns": True}, False),
        ("SELECT count(*) FROM orders", {"at_least": 2}, True),
        ("SELECT count(*) FROM orders", {"at_least": 2.5}, False),
        ("SELECT 'NaN'::numeric", {"at_least": 0}, False),
        ("SELECT 'NaN'::float8", {"at_least": 0}, False),
        ("SELECT 'Infinity'::numeric", {"at_least": 0}, True),
        ("SELECT 'NaN'::numeric", {"returns": 1}, False),
        ("SELECT 'NaN'::numeric", {"returns": 1.5}, False),
        ("SELECT sum(price) FROM orders", {"returns": 3.1}, True),
        ("SELECT max(price) FROM orders", {"returns": 2}, True),
        ("SELECT ok FROM orders WHERE id = 1", {"returns": True}, True),
        ("SELECT ok FROM orders WHERE id = 1", {"returns": 1}, False),
        ("SELECT said FROM orders WHERE id = 2", {"returns": "None"}, False),
        ("SELECT said FROM orders WHERE id = 2", {"at_least": 0}, False),
        ("SELECT at FROM orders WHERE id = 1", {"returns": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)}, True),
        ("SELECT id FROM orders ORDER BY id", {"returns": [1, 2]}, True),
        ("SELECT id FROM orders ORDER BY id DESC", {"returns": [1, 2]}, False),
        ("SELECT id, ok FROM orders WHERE id = 1", {"returns": [[1, True]]}, True),
        ("SELECT id FROM orders WHERE id > 9", {"returns": []}, True),
        ("SELECT id FROM orders", {"returns": 1}, False),
        ("SELECT '{\"a\": 1}'::jsonb->>'a'", {"returns": "1"}, True),
        ("SELECT 100 % 7", {"returns": 2}, True),
    ],
)  # fmt: skip
def test_a_result_is_compared_with_the_declaration(
    sql: Sql, query: str, expected: dict[str, object], passed: bool
) -> None:
    (result,) = run_assertions(declared({"query": query, **expected}), sql)
    assert result.passed == passed
    assert result.line.startswith(f"database app: {query}: {'' if passed else 'FAILED: '}returned ")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("DELETE FROM orders RETURNING id", "cannot execute DELETE in a read-only transaction"),
        ("SELECT 1; DELETE FROM orders", "cannot insert multiple commands into a prepared statement"),
        ("COMMIT", "returned 0 rows, not one value"),
        ("SELECT nowhere FROM orders", 'column "nowhere" does not exist'),
        ("SELECT generate_series(1, 2000)", "returns more than 1000 rows; count them in the query"),
    ],
)
def test_a_query_that_writes_or_fails_is_a_failed_assertion(sql: Sql, query: str, said: str) -> None:
    (result,) = run_assertions(declared({"query": query, "returns": 1, "name": "orders are there"}), sql)
    assert not result.passed
    assert said in result.line
    assert result.line.startswith("database app: orders are there: FAILED: ")
    (after,) = run_assertions(declared({"query": "SELECT count(*) FROM orders", "returns": 2}), sql)
    assert after.passed


def test_a_database_that_was_not_restored_and_a_slow_query_fail(sql: Sql, monkeypatch: pytest.MonkeyPatch) -> None:
    (lost,) = run_assertions(declared({"query": "SELECT 1", "returns": 1}, database="gone"), sql)
    assert 'database "gone" does not exist' in lost.line
    monkeypatch.setattr(PATIENCE, "assertion", 0.2)
    (slow,) = run_assertions(declared({"query": "SELECT pg_sleep(60)", "returns": ""}), sql)
    assert "canceling statement due to statement timeout" in slow.line


def test_an_assertion_that_expects_nothing_is_refused() -> None:
    for table in ({}, {"returns": 1, "at_least": 1}):
        with pytest.raises(ValidationError, match="needs `returns` or `at_least`, and not both"):
            AssertionTable.model_validate({"query": "SELECT 1", **table})
