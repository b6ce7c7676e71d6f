"""A real n8n after a crash: with published schedules, and with executions that wait or are queued."""

from __future__ import annotations

import json as codec
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import requests

from harness.core.clock import NotYet, wait_until
from harness.core.node import Node
from harness.core.service import Place
from harness.postgres.server import connect
from harness.services.n8n.app import N8n
from harness.services.n8n.example import OWNER, SCOPES

RULE = {"rule": {"interval": [{"field": "seconds", "secondsInterval": 2}]}}
SCHEDULE = {"type": "n8n-nodes-base.scheduleTrigger", "typeVersion": 1.2, "parameters": RULE}


@dataclass(frozen=True)
class Automation:
    """A seeded site without a running n8n. Each test gets a copy of the database and an empty volume, as on DR."""

    place: Place

    def fresh(self) -> N8n:
        with connect(self.place.sql) as connection:
            connection.execute("DROP DATABASE IF EXISTS n8n")
            connection.execute("CREATE DATABASE n8n TEMPLATE seeded OWNER n8n")
        self.place.site.volume("n8n").remove(".n8n")
        return N8n()

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with connect(self.place.sql, "n8n") as connection:
            found = connection.execute(query.encode())
            return found.fetchall() if found.description else []

    def published(self) -> list[tuple[Any, ...]]:
        return self.rows("""
            SELECT w.name, w.active, w."activeVersionId", p."publishedVersionId" FROM workflow_entity w
            LEFT JOIN workflow_published_version p ON p."workflowId" = w.id ORDER BY w.name""")

    def runs(self, name: str) -> list[str]:
        """Return the status of each execution of a workflow, oldest first."""
        found = self.rows("""
            SELECT w.name, e.status FROM execution_entity e JOIN workflow_entity w ON w.id = e."workflowId"
            ORDER BY e.id""")
        return [str(status) for workflow, status in found if workflow == name]

    @contextmanager
    def running(self, place: Place | None = None, **env: str) -> Iterator[Node]:
        (spec,) = N8n().nodes(place or self.place)
        node = self.place.site.launch(replace(spec, env={**spec.env, **env}))
        try:
            yield node
        finally:
            node.kill()


def workflow(name: str, *starts: dict[str, Any], wait: int = 0) -> dict[str, Any]:
    """Return a workflow with the triggers `starts`, which waits for `wait` seconds and ends."""
    waiting = {"resume": "timeInterval", "amount": wait, "unit": "seconds"}
    after = {"type": "n8n-nodes-base.wait", "typeVersion": 1.1, "parameters": waiting}
    if not wait:
        after = {"type": "n8n-nodes-base.noOp", "typeVersion": 1, "parameters": {}}
    nodes = [{"name": f"start {number}", **start} for number, start in enumerate(starts)] + [{"name": "end", **after}]
    into_end = {"main": [[{"node": "end", "type": "main", "index": 0}]]}
    return {
        "name": name,
        "nodes": [{"id": node["name"], "position": [0, 0], **node} for node in nodes],
        "connections": {f"start {number}": into_end for number in range(len(starts))},
        "settings": {"executionOrder": "v1"},
    }


def hook(path: str) -> dict[str, Any]:
    parameters = {"path": path, "httpMethod": "POST", "responseMode": "onReceived", "options": {}}
    return {"type": "n8n-nodes-base.webhook", "typeVersion": 2, "parameters": parameters, "webhookId": path}


def fill(site: Automation) -> None:
    """Publish workflows with every kind of trigger, leave one execution waiting and one queued, and crash."""
    # Schedules would use up the only slot for executions; they are published again below.
    site.rows("""
        DELETE FROM workflow_published_version USING workflow_entity WHERE id = "workflowId" AND name = 'tidy up';
        DELETE FROM workflow_publication_trigger_status USING workflow_entity
        WHERE id = "workflowId" AND name = 'tidy up';
        UPDATE workflow_entity SET active = false, "activeVersionId" = NULL WHERE name = 'tidy up'""")
    with site.running(N8N_CONCURRENCY_PRODUCTION_LIMIT="1") as node, requests.Session() as session:
        base = f"http://{node.endpoint('http').outside}"
        session.headers["browser-id"] = "tests"
        password = Path(site.place.secrets["n8n-owner"].removeprefix("file:")).read_text()
        login = {"emailOrLdapLoginId": OWNER, "password": password}

        def send(path: str, body: object) -> Any:
            answer = session.post(f"{base}{path}", json=body, timeout=30)
            assert answer.status_code == 200, answer.text
            return answer.json()

        wait_until(lambda: send("/rest/login", login), patience=30, on=AssertionError)
        scopes = [f"{what}:{verb}" for what, verbs in SCOPES.items() for verb in verbs]
        made = send("/rest/api-keys", {"label": "tests", "expiresAt": None, "scopes": scopes})
        session.headers["X-N8N-API-KEY"] = made["data"]["rawApiKey"]
        for one in (
            workflow("both", SCHEDULE, hook("both")),
            workflow("disabled schedule", {**SCHEDULE, "disabled": True}, hook("quiet")),
            workflow("edited", SCHEDULE),
            workflow("later", hook("later"), wait=3600),
            workflow("slow", hook("slow"), wait=4),
        ):
            identifier = send("/api/v1/workflows", one)["id"]
            if one["name"] not in ("both", "edited"):
                send(f"/api/v1/workflows/{identifier}/activate", {})
        wait_until(lambda: send("/webhook/later", {}), patience=10, on=AssertionError)
        wait_until(lambda: require(site.runs("later") == ["waiting"]), patience=10)
        wait_until(lambda: send("/webhook/slow", {}), patience=10, on=AssertionError)
        # Queued, so that there is no answer yet.
        with pytest.raises(requests.Timeout):
            session.post(f"{base}/webhook/slow", json={}, timeout=1)
        assert site.runs("slow") == ["running", "new"]
    site.rows("""
        UPDATE workflow_entity w SET active = true, "activeVersionId" = "versionId" WHERE NOT active;
        INSERT INTO workflow_published_version ("workflowId", "publishedVersionId")
        SELECT id, "activeVersionId" FROM workflow_entity ON CONFLICT DO NOTHING;
        INSERT INTO workflow_publication_trigger_status ("workflowId", "nodeId", "versionId", status, "triggerKind")
        SELECT id, 'start 0', "activeVersionId", 'activated', 'in-memory' FROM workflow_entity WHERE name = 'edited';
        INSERT INTO workflow_publication_outbox ("workflowId", "publishedVersionId", status)
        SELECT id, "activeVersionId", 'pending' FROM workflow_entity WHERE name = 'both';
        UPDATE execution_entity SET "waitTill" = now() - interval '1 hour' WHERE status = 'waiting'""")
    # The draft has no schedule any more, the published version has.
    nodes = codec.dumps(workflow("edited", hook("edited"))["nodes"])
    with connect(site.place.sql, "n8n") as connection:
        connection.execute("UPDATE workflow_entity SET nodes = %s WHERE name = 'edited'", (nodes,))


def require(condition: bool) -> None:
    if not condition:
        raise NotYet
