"""Containment: workflows that would start by themselves are unpublished in the database before n8n starts."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg

from harness.core.errors import HarnessError
from harness.core.service import Place
from harness.postgres.server import connect, one_line

# A workflow acts by itself when it has a trigger that is no webhook: schedules, intervals, polling, mailboxes.
TRIGGERS = r"(trigger|cron|interval)$"
WAITS = r"(webhook|chattrigger|formtrigger|manualtrigger|errortrigger|executeworkflowtrigger)$"
PUBLISHED = """
    SELECT w.id, w."activeVersionId" FROM workflow_entity w
    WHERE w.active AND EXISTS (
        SELECT FROM json_array_elements(w.nodes) n
        WHERE n->>'type' ~* %s AND n->>'type' !~* %s AND NOT coalesce((n->>'disabled')::boolean, false)
    ) ORDER BY w.id
"""


def unpublish(place: Place, database: str) -> tuple[str, ...]:
    """Unpublish every workflow that starts by itself; return `workflow:<id>:<version>` for each.

    Raises HarnessError when the database is not an n8n's.
    """
    try:
        with connect(place.sql, database) as connection, connection.transaction():
            rows = connection.execute(PUBLISHED.encode(), (TRIGGERS, WAITS)).fetchall()
            for identifier, _version in rows:
                connection.execute(
                    'UPDATE workflow_entity SET active = false, "activeVersionId" = NULL WHERE id = %s', (identifier,)
                )
    except psycopg.Error as error:
        raise HarnessError(f"database {database}: {one_line(error)}; is it an n8n's?") from error
    return tuple(f"workflow:{identifier}:{version or ''}" for identifier, version in rows)


def publish(place: Place, database: str, actions: Sequence[str]) -> None:
    """Publish what `unpublish` took away, in the same versions. Raises HarnessError."""
    try:
        with connect(place.sql, database) as connection, connection.transaction():
            for action in actions:
                _, identifier, version = action.split(":", 2)
                connection.execute(
                    'UPDATE workflow_entity SET active = true, "activeVersionId" = %s WHERE id = %s',
                    (version or None, identifier),
                )
    except psycopg.Error as error:
        raise HarnessError(f"database {database}: {one_line(error)}; is it an n8n's?") from error
