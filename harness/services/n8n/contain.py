"""Containment: what would start by itself is held in the database before n8n starts, and can be let go to the letter.

How n8n 2.41 keeps it: `workflow_entity."activeVersionId"` is what ought to be published, with its nodes in
`workflow_history`; the nodes in `workflow_entity` are a draft. `workflow_published_version` is what n8n believes to
run. At start and every ten seconds n8n brings the second in line with the first. So a release needs no restart; and
a workflow that is missing from the first alone would be torn down, its webhooks at third parties deleted, which are
those of the site that was copied. Hence what n8n believes to run is forgotten as well; it writes it anew itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg
from psycopg.rows import TupleRow

from harness.core.errors import HarnessError
from harness.core.service import Contained, Place
from harness.postgres.server import connect, one_line

Rows = psycopg.Connection[TupleRow]

# Schedules, polls, mailboxes, queues, and triggers that sign up with a third party when they start.
STARTS = r"(trigger|cron|interval|emailreadimap)$"
# These wait to be called, and call nobody to say that they are there.
WAITS = (
    "n8n-nodes-base.errorTrigger",
    "n8n-nodes-base.evaluationTrigger",
    "n8n-nodes-base.executeWorkflowTrigger",
    "n8n-nodes-base.formTrigger",
    "n8n-nodes-base.manualTrigger",
    "@n8n/n8n-nodes-langchain.chatTrigger",
    "@n8n/n8n-nodes-langchain.manualChatTrigger",
    "@n8n/n8n-nodes-langchain.mcpTrigger",
)
FIND = """
    SELECT w.id, w."activeVersionId" FROM workflow_entity w
    LEFT JOIN workflow_published_version p ON p."workflowId" = w.id
    WHERE EXISTS (
        SELECT FROM workflow_history h, json_array_elements(h.nodes) n
        WHERE h."versionId" IN (w."activeVersionId", p."publishedVersionId")
        AND n->>'type' ~* %s AND n->>'type' <> ALL (%s) AND NOT coalesce((n->>'disabled')::boolean, false)
    ) ORDER BY w.id
"""
FORGET = tuple(
    f'DELETE FROM {table} WHERE "workflowId" = %s'  # noqa: S608 - names of ours
    for table in (
        "workflow_published_version",
        "workflow_publication_trigger_status",
        "workflow_publication_outbox",
        "webhook_entity",
    )
)
UNPUBLISH = 'UPDATE workflow_entity SET active = false, "activeVersionId" = NULL WHERE id = %s'
# What was published since then stays.
PUBLISH = """
    UPDATE workflow_entity w SET active = true, "activeVersionId" = coalesce(w."activeVersionId", h."versionId")
    FROM workflow_history h WHERE h."workflowId" = w.id AND h."versionId" = %s AND w.id = %s AND NOT w."isArchived"
"""
# n8n goes on with executions whose wait is over, and with those that were queued. What waits to be called does so
# until the year 3000 (WAIT_INDEFINITELY in n8n-workflow): later than that are ours alone.
PARK = """
    UPDATE execution_entity SET status = 'waiting', "waitTill" = coalesce("waitTill", now()) + interval '1000 years'
    WHERE status = 'new' OR (status = 'waiting' AND "waitTill" < '3000-01-01Z')
"""
PARKED = """SELECT count(*) FROM execution_entity WHERE status = 'waiting' AND "waitTill" > '3000-01-01Z'"""
UNPARK = """
    UPDATE execution_entity SET "waitTill" = "waitTill" - interval '1000 years'
    WHERE status = 'waiting' AND "waitTill" > '3000-01-01Z'
"""
# What is held is written down in the same transaction: neither a crash nor a second call forgets it.
LEDGER = "blackstart.held"
RECORD = """
    INSERT INTO settings (key, value, "loadOnStartup") VALUES (%s, %s, false)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value
"""


def hold(service: str, database: str, place: Place) -> Contained:
    """Hold every workflow and execution that would start by itself; what an earlier call held is in the result.

    Actions: `workflow:<id>:<version>` for each workflow unpublished, `executions:<count>` for those put off.
    Raises HarnessError, with nothing changed, when the database is not that of an n8n 2.41.
    """
    with _transaction(place, database) as connection:
        row = connection.execute("SELECT value FROM settings WHERE key = %s", (LEDGER,)).fetchone()
        workflows = [action for action in (str(row[0]).split() if row else ()) if action.startswith("workflow:")]
        for identifier, version in connection.execute(FIND.encode(), (STARTS, list(WAITS))).fetchall():
            for statement in (*FORGET, UNPUBLISH):
                connection.execute(statement.encode(), (identifier,))
            if version:
                workflows.append(f"workflow:{identifier}:{version}")
        connection.execute(PARK)
        parked = connection.execute(PARKED).fetchone()
        executions = [f"executions:{parked[0]}"] if parked and parked[0] else []
        actions = (*dict.fromkeys(workflows), *executions)
        connection.execute(RECORD, (LEDGER, " ".join(actions)))
    return Contained(service, actions)


def release(database: str, place: Place, contained: Contained) -> None:
    """Publish again, in the same versions, what `hold` unpublished, and let executions go on.

    A running n8n takes notice within ten seconds of the first and a minute of the second, another at its start.
    Raises HarnessError that names what is no longer there; the rest is released all the same.
    """
    workflows = _parse(contained.actions)
    with _transaction(place, database) as connection:
        gone = [
            identifier
            for identifier, version in workflows
            if not connection.execute(PUBLISH, (version, identifier)).rowcount
        ]
        connection.execute(UNPARK)
        connection.execute("DELETE FROM settings WHERE key = %s", (LEDGER,))
    if gone:
        raise HarnessError(
            f"database {database} on {place.site.name}: workflow {', '.join(gone)} is no longer there or is archived; "
            "all else was released"
        )


def _parse(actions: Sequence[str]) -> list[tuple[str, str]]:
    """Return id and version of each workflow; raises HarnessError for an action that is not one of ours."""
    found = []
    for action in actions:
        word, *rest = action.split(":")
        if word == "workflow" and len(rest) == 2:  # noqa: PLR2004 - id and version
            found.append((rest[0], rest[1]))
        elif word != "executions" or len(rest) != 1 or not rest[0].isdigit():
            raise HarnessError(f"held action {action!r} is none of n8n's; nothing was released")
    return found


@contextmanager
def _transaction(place: Place, database: str) -> Iterator[Rows]:
    try:
        with connect(place.sql, database) as connection, connection.transaction():
            yield connection
    except psycopg.Error as error:
        raise HarnessError(
            f"database {database} on {place.site.name}: {one_line(error)}; is it that of an n8n 2.41?"
        ) from error
