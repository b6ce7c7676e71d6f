"""What a client must be able to do with n8n again: message 2.8.2."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence

from harness.core.clock import wait_until
from harness.core.errors import Finding, HarnessError
from harness.core.service import Answer, KeyFunction, PublicDoor
from harness.n8n.example import HEADER, WEBHOOK
from harness.vault import read_text_secret

OK, FORBIDDEN, NOT_FOUND = 200, 403, 404
PATIENCE = 10.0  # seconds; webhooks are published a moment after n8n says that it is ready
NUMBER = 21


class NotPublished(Exception):  # noqa: N818 - it is a state, and never leaves this module
    """The webhook is not published yet."""


def key_functions(service: str, secrets: Mapping[str, str]) -> Sequence[KeyFunction]:
    """Return n8n's key functions; raises HarnessError when the clients lack a secret."""
    for name in ("gateway-key", "shop-token"):
        if name not in secrets:
            raise HarnessError(f"{service}: the clients have no secret {name!r}; its workflow cannot be tried")

    def check(door: PublicDoor) -> str:
        return run_dummy(door, secrets)

    return (KeyFunction("dummy workflow with its credential", service, "2.8.2", check),)


def run_dummy(door: PublicDoor, secrets: Mapping[str, str]) -> str:
    """Call the workflow with and without its token; return a line, raise Finding when either goes wrong."""
    user = base64.b64encode(f"clients:{read_text_secret(secrets['gateway-key'])}".encode()).decode()
    headers = {"Authorization": f"Basic {user}"}
    token = {HEADER: read_text_secret(secrets["shop-token"])}

    def call(more: Mapping[str, str]) -> Answer:
        answer = door.request("POST", f"/webhook/{WEBHOOK}", json={"number": NUMBER}, headers={**headers, **more})
        if answer.status == NOT_FOUND:
            raise NotPublished("its webhook is not published")
        return answer

    try:
        answer = wait_until(lambda: call(token), patience=PATIENCE, on=NotPublished, what="dummy workflow")
    except HarnessError as error:
        raise Finding(str(error)) from error
    if answer.status != OK:
        raise Finding(f"dummy workflow with its token: {answer.status}; its credential may not have been restored")
    doubled = json.loads(answer.body).get("doubled")
    if doubled != 2 * NUMBER:
        raise Finding(f"dummy workflow: answered {doubled!r} instead of {2 * NUMBER}")
    stranger = call({}).status
    if stranger != FORBIDDEN:
        raise Finding(
            f"dummy workflow without its token: {stranger} instead of {FORBIDDEN}; the credential is not used"
        )
    return f"doubled {NUMBER} to {doubled}; refused without the token"
