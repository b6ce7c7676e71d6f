"""Example data of n8n: an owner, a credential, a workflow behind a webhook, and one on a schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests

from harness.core.clock import wait_until
from harness.core.errors import HarnessError
from harness.core.node import Node, Stoppable
from harness.core.service import Place
from harness.postgres.roles import make_database
from harness.vault import read_text_secret

if TYPE_CHECKING:
    from harness.n8n.app import N8n

WEBHOOK = "dummy"
HEADER = "X-Shop-Token"
OWNER = "owner@shop.test"
STOP = 20.0
OK = 200
SCOPES = {
    "workflow": ("create", "read", "list", "update", "activate"),
    "execution": ("read", "list"),
    "credential": ("create", "list"),
}


class NotUp(Exception):  # noqa: N818 - it is a state, and never leaves this module
    """The API does not answer yet."""


def seed(place: Place, service: N8n) -> None:
    """Fill an empty n8n. Raises HarnessError; leaves nothing running."""
    make_database(place.sql, service.database, service.database, place.secrets[service.secret])
    (spec,) = service.nodes(place)
    node = place.site.launch(spec)
    try:
        _fill(node, place)
    finally:
        if isinstance(node, Stoppable):
            node.stop(STOP)
        else:
            node.kill()


def _fill(node: Node, place: Place) -> None:
    base = f"http://{node.endpoint('http').outside}"
    key = wait_until(lambda: _api_key(base, place), patience=30, on=NotUp, what="n8n's owner")
    header = {"name": HEADER, "value": read_text_secret(place.secrets["shop-token"])}
    credential = _call(base, key, "/credentials", {"name": "shop token", "type": "httpHeaderAuth", "data": header})
    for workflow in (dummy(str(credential["id"])), nightly()):
        made = _call(base, key, "/workflows", workflow)
        _call(base, key, f"/workflows/{made['id']}/activate", {})


def _api_key(base: str, place: Place) -> str:
    """Make the owner and return a key to the public API."""
    session = requests.Session()
    session.headers["browser-id"] = "blackstart"
    password = read_text_secret(place.secrets["n8n-owner"])
    owner = {"email": OWNER, "firstName": "Shop", "lastName": "Owner", "password": password}
    answer = session.post(f"{base}/rest/owner/setup", json=owner, timeout=30)
    if answer.status_code in (404, 502, 503):
        raise NotUp(f"owner set-up answers {answer.status_code}")
    scopes = [f"{what}:{verb}" for what, verbs in SCOPES.items() for verb in verbs]
    body = {"label": "example", "expiresAt": None, "scopes": scopes}
    made = session.post(f"{base}/rest/api-keys", json=body, timeout=30)
    if OK not in (answer.status_code, made.status_code) or made.status_code != OK:
        raise HarnessError(
            f"n8n: owner set-up answered {answer.status_code}, API key {made.status_code}: {made.text[:200]}"
        )
    return str(made.json()["data"]["rawApiKey"])


def _call(base: str, key: str, path: str, body: Any) -> dict[str, Any]:
    answer = requests.post(f"{base}/api/v1{path}", json=body, headers={"X-N8N-API-KEY": key}, timeout=30)
    if answer.status_code != OK:
        raise HarnessError(f"n8n: {path} answered {answer.status_code}: {answer.text[:200]}")
    found: dict[str, Any] = answer.json()
    return found


def _node(name: str, kind: str, version: float, parameters: dict[str, Any], **more: Any) -> dict[str, Any]:
    place = {"id": name.lower(), "name": name, "position": [0, 0]}
    return {**place, "type": f"n8n-nodes-base.{kind}", "typeVersion": version, "parameters": parameters, **more}


def _to(name: str) -> dict[str, Any]:
    return {"main": [[{"node": name, "type": "main", "index": 0}]]}


def dummy(credential: str) -> dict[str, Any]:
    """Return a workflow that doubles a number, behind a webhook that a credential guards."""
    hook = {"path": WEBHOOK, "httpMethod": "POST", "responseMode": "responseNode", "options": {}}
    body = "={{ JSON.stringify({doubled: 2 * $json.body.number}) }}"
    return {
        "name": "dummy",
        "nodes": [
            _node(
                "Webhook",
                "webhook",
                2,
                {**hook, "authentication": "headerAuth"},
                webhookId="11111111-1111-4111-8111-111111111111",
                credentials={"httpHeaderAuth": {"id": credential, "name": "shop token"}},
            ),
            _node("Respond", "respondToWebhook", 1.1, {"respondWith": "json", "responseBody": body, "options": {}}),
        ],
        "connections": {"Webhook": _to("Respond")},
        "settings": {"executionOrder": "v1"},
    }


def nightly() -> dict[str, Any]:
    """Return a workflow that starts by itself every two seconds: what a restored copy must not do."""
    rule = {"interval": [{"field": "seconds", "secondsInterval": 2}]}
    return {
        "name": "tidy up",
        "nodes": [
            _node("Schedule", "scheduleTrigger", 1.2, {"rule": rule}),
            _node("Nothing", "noOp", 1, {}),
        ],
        "connections": {"Schedule": _to("Nothing")},
        "settings": {"executionOrder": "v1"},
    }
