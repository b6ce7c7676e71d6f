"""Key function of n8n (message 2.8.2): run a workflow that needs a restored credential."""

import json
import secrets as random
from collections.abc import Mapping, Sequence
from functools import partial

from harness.core.clock import NotYet, wait_until
from harness.core.errors import Finding, HarnessError, TookTooLong
from harness.core.service import Answer, KeyFunction, PublicDoor
from harness.patience import PATIENCE
from harness.traffic.door import GATEWAY_KEY, basic_auth
from harness.vault import read_text_secret

MESSAGE = "2.8.2"
WEBHOOK = "dummy"  # path of the example workflow's webhook
HEADER = "X-Shop-Token"  # the header that its credential checks
SHOP_TOKEN = "shop-token"  # noqa: S105 - the name of the secret with the value of that header
OK, UNAUTHORIZED, FORBIDDEN, NOT_FOUND = 200, 401, 403, 404
WHY = {UNAUTHORIZED: "the gateway rejects the clients' key", FORBIDDEN: "the token is not the one in its credential"}


def key_functions(service: str, secrets: Mapping[str, str]) -> Sequence[KeyFunction]:
    """Return n8n's key functions. Raises HarnessError when a client secret is missing."""
    require_secrets(service, secrets)
    check = partial(run_dummy, secrets=secrets)
    return (KeyFunction("dummy workflow with its credential", service, MESSAGE, check),)


def require_secrets(service: str, secrets: Mapping[str, str]) -> None:
    """Raise HarnessError when the clients lack a secret that the workflow needs."""
    for name in (GATEWAY_KEY, SHOP_TOKEN):
        if name not in secrets:
            raise HarnessError(f"{service}: the clients have no secret {name!r}; its workflow cannot be tested")


def run_dummy(door: PublicDoor, secrets: Mapping[str, str]) -> str:
    """Call the workflow with and without its (decrypted) token; return a line. Raises Finding, OSError."""
    gateway = basic_auth(secrets[GATEWAY_KEY])
    token = {HEADER: read_text_secret(secrets[SHOP_TOKEN])}
    number = random.randbelow(1_000_000)  # a new one for each call, to detect a cached answer

    def call(more: Mapping[str, str]) -> Answer:
        headers = {**gateway, **more}
        answer = door.request("POST", f"/webhook/{WEBHOOK}", json={"number": number}, headers=headers)
        if answer.status == NOT_FOUND:
            raise NotYet("answers 404: its webhook is not registered")
        return answer

    try:
        answer = wait_until(lambda: call(token), patience=PATIENCE.n8n_webhook, what="dummy workflow")
        if answer.status != OK:
            why = WHY.get(answer.status, "see n8n's log")
            raise Finding(f"dummy workflow with its token: {answer.status} instead of {OK}; {why}")
        doubled = _doubled(answer.body)
        if doubled != 2 * number:
            raise Finding(f"dummy workflow: answered {doubled!r} instead of {2 * number}")
        stranger = call({}).status
    except (TookTooLong, NotYet) as error:
        raise Finding(str(error)) from error
    if stranger != FORBIDDEN:
        raise Finding(f"dummy workflow without its token: {stranger} instead of {FORBIDDEN}; its credential is unused")
    return f"doubled {number} to {doubled}; refused without token"


def _doubled(body: bytes) -> object:
    try:
        found = json.loads(body)
    except ValueError:
        return body[:80]
    return found.get("doubled") if isinstance(found, dict) else found
