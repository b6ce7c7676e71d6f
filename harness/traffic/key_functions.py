"""Key functions that a declaration has, for every kind of service that lets its user declare some."""

from collections.abc import Mapping, Sequence
from functools import partial

from harness.core.errors import HarnessError
from harness.core.service import KeyFunction, PublicDoor
from harness.traffic.declared import KeyTable
from harness.traffic.door import GATEWAY_KEY, basic_auth
from harness.traffic.exchange import Late, run_exchange


def declared_functions(
    service: str,
    keys: Sequence[KeyTable],
    secrets: Mapping[str, str],
    message: str,
    *,
    auth: bool,
    patience: Late | None = None,
) -> tuple[KeyFunction, ...]:
    """Return the declared key functions of a service; `auth`: whether its requests need the gateway's key.

    `patience`: for a 404 to the first request, of a service that is ready before all its paths are. Raises HarnessError
    without that key.
    """
    if auth and GATEWAY_KEY not in secrets:
        raise HarnessError(f"{service}: the clients have no secret {GATEWAY_KEY!r}; its key functions cannot be tested")

    def run(door: PublicDoor, declared: KeyTable) -> str:
        return run_exchange(door, declared, basic_auth(secrets[GATEWAY_KEY]) if auth else {}, patience)

    return tuple(KeyFunction(key.title, service, message, partial(run, declared=key)) for key in keys)
