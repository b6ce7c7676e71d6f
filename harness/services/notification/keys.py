"""Key functions of the notification service (message 2.8)."""

import secrets as random
from collections.abc import Callable, Mapping
from functools import partial

from harness.core.clock import NotYet, wait_until
from harness.core.errors import Finding, TookTooLong
from harness.core.service import Arrivals, KeyFunction
from harness.patience import PATIENCE
from harness.services.notification.client import ACCEPTED, KNOWN, PREFIX, Client, Outbox, key_in, refusal
from harness.services.notification.example import PREFIX as EXAMPLES
from harness.services.notification.example import attachment, number_of
from harness.traffic.door import GATEWAY_KEY

MESSAGE = "2.8"


def key_functions(
    service: str,
    secrets: Mapping[str, str],
    arrivals: Arrivals | None = None,
    patience: float = PATIENCE.queued_delivery,
) -> tuple[KeyFunction, ...]:
    """Return the three key functions; with `arrivals`, the customers must have received queued messages too."""
    reference = secrets[GATEWAY_KEY]

    def key(name: str, check: Callable[[Client], str]) -> KeyFunction:
        return KeyFunction(name, service, MESSAGE, lambda door: check(Client.open(door, reference)))

    return (
        key("queued messages arrive", partial(queued_messages_arrive, arrivals=arrivals, patience=patience)),
        key("a new message is accepted", new_message_is_accepted),
        key("an attachment can be read", attachment_can_be_read),
    )


def queued_messages_arrive(client: Client, arrivals: Arrivals | None, patience: float) -> str:
    """Wait for the delivery of every example message, or without `arrivals` its queueing. Raises OSError, Finding."""

    def delivered() -> Outbox:
        outbox = client.outbox(EXAMPLES)
        if not outbox.messages:
            raise Finding(f"GET {PREFIX}/messages: queued messages {EXAMPLES}* are missing")
        late = [m.reference for m in outbox.messages if not arrived(m.reference, m.delivered, arrivals)]
        if late and not (outbox.held and arrivals is None):
            held = "; delivery is on hold" if outbox.held else ""
            raise NotYet(f"{len(late)} of {len(outbox.messages)} are not delivered, {late[0]} first{held}")
        return outbox

    try:
        outbox = wait_until(delivered, patience=patience, every=0.2)
    except TookTooLong as error:
        raise Finding(f"queued messages: not delivered within {patience:g} s: {error.__cause__}") from error
    waiting = sum(not message.delivered for message in outbox.messages)
    note = f"; {waiting} queued, on hold until release" if waiting else ""
    return f"{len(outbox.messages) - waiting} of {len(outbox.messages)} queued messages delivered{note}"


def arrived(reference: str, delivered: bool, arrivals: Arrivals | None) -> bool:
    """Return whether a message is delivered, according to the service and to `arrivals`."""
    return delivered and (arrivals is None or bool(arrivals.seen(reference)))


def new_message_is_accepted(client: Client) -> str:
    """Send a new message twice: it must be accepted, then recognised under the same key. Raises OSError, Finding."""
    reference = f"key-{random.token_hex(8)}"
    first = client.post(reference, "test message of a key function")
    if first.status != ACCEPTED:
        raise Finding(refusal("POST", f"{PREFIX}/messages", first))
    again = client.post(reference, "test message of a key function")
    if again.status != KNOWN or key_in(again) != key_in(first):
        raise Finding(f"POST {PREFIX}/messages: {reference} sent again: answered {again.status}, not as a repeat")
    return f"{reference} accepted under {key_in(first)}"


def attachment_can_be_read(client: Client) -> str:
    """Read the attachments of the first, the middle and the last example message. Raises OSError, Finding."""
    numbers = sorted(n for n in (number_of(m.reference) for m in client.outbox(EXAMPLES).messages) if n)
    if not numbers:
        raise Finding(f"GET {PREFIX}/messages: messages {EXAMPLES}* with attachments are missing")
    size = 0
    for number in sorted({numbers[0], numbers[len(numbers) // 2], numbers[-1]}):
        content = client.attachment(f"{EXAMPLES}{number}")
        if content != attachment(number):
            raise Finding(f"attachment of {EXAMPLES}{number}: {len(content)} bytes differ from what was queued")
        size += len(content)
    return f"attachments read and compared, {size} bytes"
