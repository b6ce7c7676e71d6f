"""A schedule that sends requests to an address: shows in drills that a restored n8n reaches nothing."""

import secrets as random
from typing import Any

import requests

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError
from harness.core.service import REACHED
from harness.patience import PATIENCE
from harness.services.n8n.example import EVERY, OK, OWNER

SCOPES = ("workflow:create", "workflow:activate", "execution:list")
BEGIN, CALL = "Every two seconds", "Call"


def workflow(url: str) -> dict[str, Any]:
    """Return a workflow that sends a request to a URL, again and again."""
    rule = {"interval": [{"field": "seconds", "secondsInterval": EVERY}]}
    nodes = ((BEGIN, "scheduleTrigger", 1.2, {"rule": rule}), (CALL, "httpRequest", 4.2, {"url": url, "options": {}}))
    return {
        "name": f"call {random.token_hex(4)}",
        "nodes": [
            {"id": name, "name": name, "position": [0, 0], "parameters": parameters,
             "type": f"n8n-nodes-base.{kind}", "typeVersion": version}
            for name, kind, version, parameters in nodes
        ],
        "connections": {BEGIN: {"main": [[{"node": CALL, "type": "main", "index": 0}]]}},
        "settings": {"executionOrder": "v1"},
    }  # fmt: skip


def call_on_schedule(base: str, password: str, url: str) -> str:
    """Activate such a workflow as the owner; return REACHED, or how its first run ended. Raises HarnessError."""
    with requests.Session() as session:
        session.headers["browser-id"] = "blackstart"
        try:
            _post(session, f"{base}/rest/login", {"emailOrLdapLoginId": OWNER, "password": password})
            key = {"label": f"call {random.token_hex(4)}", "expiresAt": None, "scopes": SCOPES}
            session.headers["X-N8N-API-KEY"] = _post(session, f"{base}/rest/api-keys", key)["data"]["rawApiKey"]
            made = _post(session, f"{base}/api/v1/workflows", workflow(url))
            _post(session, f"{base}/api/v1/workflows/{made['id']}/activate", {})
            runs = f"{base}/api/v1/executions?limit=1&workflowId={made['id']}"
            return wait_until(lambda: _ended(session, runs), patience=PATIENCE.n8n_seed, what="n8n: a scheduled run")
        except requests.RequestException as error:
            raise HarnessError(f"n8n does not answer ({error}); see its log") from error


def _post(session: requests.Session, url: str, body: Any) -> dict[str, Any]:
    answer = session.post(url, json=body, timeout=PATIENCE.n8n_request)
    if answer.status_code != OK:
        raise HarnessError(f"n8n: {url} answered {answer.status_code}: {' '.join(answer.text.split())[:200]}")
    found: dict[str, Any] = answer.json()
    return found


def _ended(session: requests.Session, url: str) -> str:
    for run in session.get(url, timeout=PATIENCE.n8n_request).json()["data"]:
        if run["status"] == "error":
            return "a request of its schedule ended with an error"
        if run["finished"]:
            return REACHED
    raise NotYet("none has ended")
