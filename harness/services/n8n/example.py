"""Example data of n8n: an owner, a credential, a workflow behind a webhook, and a scheduled workflow."""

from typing import Any
from urllib.parse import urlsplit

import requests

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError
from harness.core.node import Node, NodeSpec, Stoppable
from harness.core.service import Place
from harness.patience import PATIENCE
from harness.postgres.server import connect, make_database
from harness.services.n8n.keys import HEADER, SHOP_TOKEN, WEBHOOK
from harness.vault import read_text_secret

OWNER_PASSWORD = "n8n-owner"  # noqa: S105 - the name of the secret
OWNER = "owner@shop.test"
OK = 200
NOT_YET = (404, 502, 503)
WORKFLOWS = 2
EVERY = 2  # seconds between two runs of the scheduled workflow
SCOPES = {
    "workflow": ("create", "read", "list", "update", "activate"),
    "execution": ("read", "list"),
    "credential": ("create", "list"),
}


def seed(place: Place, spec: NodeSpec, database: str, password_ref: str) -> None:
    """Create the database, and an owner, a credential and two published workflows in an empty n8n.

    The node `spec` is started for it and stopped afterwards. Raises HarnessError, also when the site lacks one of the
    secrets `shop-token` and `n8n-owner`.
    """
    for name in (SHOP_TOKEN, OWNER_PASSWORD):
        if name not in place.secrets:
            where = f"{spec.name}: site {place.site.name}"
            raise HarnessError(f"{where} has no secret {name!r}; add its reference to the secrets of the site")
    make_database(place.sql, database, database, password_ref)
    node = place.site.launch(spec)
    try:
        _fill(node, place, database)
    except requests.RequestException as error:
        raise HarnessError(f"{spec.name} on {place.site.name} does not answer ({error}); see its log") from error
    finally:
        if isinstance(node, Stoppable):
            node.stop(PATIENCE.n8n_stop)
        else:
            node.kill()


def _fill(node: Node, place: Place, database: str) -> None:
    base = f"http://{node.endpoint('http').outside}"
    with requests.Session() as session:
        # n8n reports ready a moment before it serves these routes.
        wait_until(lambda: _own(session, base, place), patience=PATIENCE.n8n_seed, what="n8n's owner")
        session.headers["X-N8N-API-KEY"] = _api_key(session, base)
        header = {"name": HEADER, "value": read_text_secret(place.secrets[SHOP_TOKEN])}
        body = {"name": "shop token", "type": "httpHeaderAuth", "data": header}
        credential = _call(session, f"{base}/api/v1/credentials", body)
        for workflow in (dummy(str(credential["id"])), tidy_up()):
            made = _call(session, f"{base}/api/v1/workflows", workflow)
            _call(session, f"{base}/api/v1/workflows/{made['id']}/activate", {})
    # n8n answers an activation before it has published the workflow.
    wait_until(lambda: _published(place, database), patience=PATIENCE.n8n_seed, what="n8n's workflows")


def _own(session: requests.Session, base: str, place: Place) -> None:
    """Create the owner and log in as that user."""
    session.headers["browser-id"] = "blackstart"
    password = read_text_secret(place.secrets[OWNER_PASSWORD])
    owner = {"email": OWNER, "firstName": "Shop", "lastName": "Owner", "password": password}
    answer = session.post(f"{base}/rest/owner/setup", json=owner, timeout=PATIENCE.n8n_request)
    if answer.status_code in NOT_YET:
        raise NotYet(f"owner set-up answers {answer.status_code}")
    _require_ok(answer, "owner set-up")


def _api_key(session: requests.Session, base: str) -> str:
    """Return a new key for the public API."""
    scopes = [f"{what}:{verb}" for what, verbs in SCOPES.items() for verb in verbs]
    body = {"label": "example", "expiresAt": None, "scopes": scopes}
    return str(_call(session, f"{base}/rest/api-keys", body)["data"]["rawApiKey"])


def _call(session: requests.Session, url: str, body: Any) -> dict[str, Any]:
    answer = session.post(url, json=body, timeout=PATIENCE.n8n_request)
    _require_ok(answer, urlsplit(url).path)
    found: dict[str, Any] = answer.json()
    return found


def _require_ok(answer: requests.Response, what: str) -> None:
    if answer.status_code != OK:
        raise HarnessError(f"n8n: {what} answered {answer.status_code}: {' '.join(answer.text.split())[:200]}")


def _published(place: Place, database: str) -> None:
    query = """SELECT count(*) FROM workflow_entity w JOIN workflow_published_version p
        ON p."workflowId" = w.id AND w."activeVersionId" = p."publishedVersionId" WHERE w.active"""
    with connect(place.sql, database) as connection:
        row = connection.execute(query).fetchone()
    if row is None or row[0] < WORKFLOWS:
        raise NotYet(f"{row[0] if row else 0} of {WORKFLOWS} published")


def _node(name: str, kind: str, version: float, parameters: dict[str, Any], **more: Any) -> dict[str, Any]:
    place = {"id": name.lower(), "name": name, "position": [0, 0]}
    return {**place, "type": f"n8n-nodes-base.{kind}", "typeVersion": version, "parameters": parameters, **more}


def _to(name: str) -> dict[str, Any]:
    return {"main": [[{"node": name, "type": "main", "index": 0}]]}


def dummy(credential: str) -> dict[str, Any]:
    """Return a workflow that doubles a number, behind a webhook protected by a credential."""
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


def tidy_up() -> dict[str, Any]:
    """Return a workflow on a schedule of two seconds, which a contained copy must not run."""
    rule = {"interval": [{"field": "seconds", "secondsInterval": EVERY}]}
    return {
        "name": "tidy up",
        "nodes": [_node("Schedule", "scheduleTrigger", 1.2, {"rule": rule}), _node("Nothing", "noOp", 1, {})],
        "connections": {"Schedule": _to("Nothing")},
        "settings": {"executionOrder": "v1"},
    }
