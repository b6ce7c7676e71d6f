"""What a client must be able to do with n8n again (message 2.8.2), and whether a site has the key that it needs."""

from __future__ import annotations

import base64
import json
import secrets as random
from collections.abc import Mapping, Sequence

from harness.core.clock import NotYet, wait_until
from harness.core.errors import Finding, HarnessError, TookTooLong
from harness.core.service import Answer, KeyFunction, PublicDoor
from harness.patience import PATIENCE
from harness.services.n8n.example import HEADER, WEBHOOK
from harness.vault import read_text_secret

OK, UNAUTHORIZED, FORBIDDEN, NOT_FOUND = 200, 401, 403, 404


def key_functions(service: str, secrets: Mapping[str, str]) -> Sequence[KeyFunction]:
    """Return n8n's key functions; raises HarnessError when the clients lack a secret."""
    for name in ("gateway-key", "shop-token"):
        if name not in secrets:
            raise HarnessError(f"{service}: the clients have no secret {name!r}; its workflow cannot be tried")

    def check(door: PublicDoor) -> str:
        return run_dummy(door, secrets)

    return (KeyFunction("dummy workflow with its credential", service, "2.8.2", check),)


def run_dummy(door: PublicDoor, secrets: Mapping[str, str]) -> str:
    """Call the workflow with and without its token; return a line, raise Finding when either goes wrong.

    n8n compares the token with the one in its credential: an answer shows that the credential was decrypted.
    """
    user = base64.b64encode(f"clients:{read_text_secret(secrets['gateway-key'])}".encode()).decode()
    token = {HEADER: read_text_secret(secrets["shop-token"])}
    number = random.randbelow(1_000_000)  # another one each time: no answer can be an old one

    def call(more: Mapping[str, str]) -> Answer:
        headers = {"Authorization": f"Basic {user}", **more}
        answer = door.request("POST", f"/webhook/{WEBHOOK}", json={"number": number}, headers=headers)
        if answer.status == NOT_FOUND:
            raise NotYet("answers 404: its webhook is not published")
        return answer

    try:
        answer = wait_until(lambda: call(token), patience=PATIENCE.n8n_webhook, what="dummy workflow")
        if answer.status != OK:
            raise Finding(f"dummy workflow with its token: {answer.status} instead of {OK}; {_why(answer.status)}")
        doubled = _doubled(answer.body)
        if doubled != 2 * number:
            raise Finding(f"dummy workflow: answered {doubled!r} instead of {2 * number}")
        stranger = call({}).status
    except (TookTooLong, NotYet) as error:
        raise Finding(str(error)) from error
    if stranger != FORBIDDEN:
        raise Finding(f"dummy workflow without its token: {stranger} instead of {FORBIDDEN}; its credential is unused")
    return f"doubled {number} to {doubled}; refused without the token"


def _why(status: int) -> str:
    if status == UNAUTHORIZED:
        return "the gateway does not take the clients' key"
    if status == FORBIDDEN:
        return "the token is not the one in its credential"
    return "see n8n's log"


def _doubled(body: bytes) -> object:
    try:
        found = json.loads(body)
    except ValueError:
        return body[:80]
    return found.get("doubled") if isinstance(found, dict) else found
