"""Containment of n8n: workflows that start by themselves are unpublished in its database, before n8n starts.

Data model of n8n 2.41: `workflow_entity."activeVersionId"` names the version to publish, whose nodes are in
`workflow_history`; the nodes in `workflow_entity` are a draft. `workflow_published_version` lists what n8n considers
running. At start and every ten seconds n8n reconciles the second with the first, so a release needs no restart.
A workflow removed from the first alone would be torn down by n8n, including its webhooks at third parties, which
belong to the original site. Containment therefore deletes both; n8n recreates the second one itself.
"""

from collections.abc import Sequence

from harness.core.errors import HarnessError
from harness.core.service import Contained, Place
from harness.postgres.server import transaction

HINT = "is it the database of an n8n 2.41?"
# Schedules, polls, mailboxes, queues, and triggers that register with a third party when they start.
STARTS = r"(trigger|cron|interval|emailreadimap)$"
# Exceptions: these only wait for a call and register nowhere.
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
    f'DELETE FROM {table} WHERE "workflowId" = %s'  # noqa: S608 - constant names
    for table in (
        "workflow_published_version",
        "workflow_publication_trigger_status",
        "workflow_publication_outbox",
        "webhook_entity",
    )
)
UNPUBLISH = 'UPDATE workflow_entity SET active = false, "activeVersionId" = NULL WHERE id = %s'
# A version that was published since then is kept.
PUBLISH = """
    UPDATE workflow_entity w SET active = true, "activeVersionId" = coalesce(w."activeVersionId", h."versionId")
    FROM workflow_history h WHERE h."workflowId" = w.id AND h."versionId" = %s AND w.id = %s AND NOT w."isArchived"
"""
# n8n resumes executions whose wait is over, and those that were queued. Executions that wait for a call have the date
# 3000-01-01 (WAIT_INDEFINITELY in n8n-workflow), so that only parked ones are later than that.
PARK = """
    UPDATE execution_entity SET status = 'waiting', "waitTill" = coalesce("waitTill", now()) + interval '1000 years'
    WHERE status = 'new' OR (status = 'waiting' AND "waitTill" < '3000-01-01Z')
"""
PARKED = """SELECT count(*) FROM execution_entity WHERE status = 'waiting' AND "waitTill" > '3000-01-01Z'"""
UNPARK = """
    UPDATE execution_entity SET "waitTill" = "waitTill" - interval '1000 years'
    WHERE status = 'waiting' AND "waitTill" > '3000-01-01Z'
"""
# Actions on hold are recorded in the same transaction, so that neither a crash nor a second call loses them.
LEDGER = "blackstart.held"
RECORD = """
    INSERT INTO settings (key, value, "loadOnStartup") VALUES (%s, %s, false)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value
"""


def hold(service: str, database: str, place: Place) -> Contained:
    """Unpublish every workflow and park every execution that would start by itself; return them, earlier ones included.

    Actions: `workflow:<id>:<version>` for each unpublished workflow, `executions:<count>` for those parked.
    Raises HarnessError and changes nothing when the database is not that of an n8n 2.41.
    """
    with transaction(place.sql, database, HINT) as connection:
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


def release(database: str, place: Place, contained: Contained) -> tuple[str, ...]:
    """Publish what `hold` unpublished and resume executions; return a line for what no longer exists.

    Raises HarnessError.
    """
    workflows = _parse(contained.actions)
    with transaction(place.sql, database, HINT) as connection:
        gone = [
            identifier
            for identifier, version in workflows
            if not connection.execute(PUBLISH, (version, identifier)).rowcount
        ]
        connection.execute(UNPARK)
        connection.execute("DELETE FROM settings WHERE key = %s", (LEDGER,))
    if not gone:
        return ()
    return (f"database {database}: workflow {', '.join(gone)} was removed or archived since, and stays unpublished",)


def _parse(actions: Sequence[str]) -> list[tuple[str, str]]:
    """Return id and version of each workflow; raises HarnessError for an unknown action."""
    found = []
    for action in actions:
        word, *rest = action.split(":")
        if word == "workflow" and len(rest) == 2:  # noqa: PLR2004 - id and version
            found.append((rest[0], rest[1]))
        elif word != "executions" or len(rest) != 1 or not rest[0].isdigit():
            raise HarnessError(f"action on hold {action!r} is unknown to n8n's release; nothing was released")
    return found
