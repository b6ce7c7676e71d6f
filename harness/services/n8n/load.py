"""Clients of an n8n that start numbered executions of its workflow during a drill."""

from collections.abc import Callable, Mapping
from functools import partial

from harness.core.service import Place, PublicDoor
from harness.declaration import StoreClients
from harness.patience import PATIENCE
from harness.postgres.checks import column
from harness.services.n8n.keys import HEADER, OK, SHOP_TOKEN, WEBHOOK, require_secrets
from harness.traffic.door import GATEWAY_KEY, basic_auth
from harness.vault import read_text_secret

MARK = "blackstart-ledger-"
# n8n writes an execution with its input down before it runs it, and answers afterwards.
EXECUTIONS = f"SELECT substring(data FROM '{MARK}([1-9][0-9]{{0,17}})') FROM execution_data WHERE data LIKE '%{MARK}%'"  # noqa: S608 - constants of ours


def store_clients(service: str, database: str) -> tuple[StoreClients, ...]:
    """Return the clients of an n8n."""
    return (StoreClients(f"{service} executions", partial(sender, service), partial(survivors, database)),)


def sender(service: str, door: PublicDoor, secrets: Mapping[str, str]) -> Callable[[int], bool]:
    """Return a function that starts execution N and returns whether its workflow answered. It raises OSError.

    Raises HarnessError when a client secret is missing.
    """
    require_secrets(service, secrets)
    headers = {**basic_auth(secrets[GATEWAY_KEY]), HEADER: read_text_secret(secrets[SHOP_TOKEN])}

    def send(number: int) -> bool:
        body = {"number": number, "ledger": f"{MARK}{number}"}
        answer = door.request("POST", f"/webhook/{WEBHOOK}", json=body, headers=headers, patience=PATIENCE.store_write)
        return answer.status == OK

    return send


def survivors(database: str, _door: PublicDoor, _secrets: Mapping[str, str], place: Place) -> frozenset[int]:
    """Return the numbers of all executions in the database of the site. Raises HarnessError.

    n8n's own list of executions needs a key of its public API, which clients do not have.
    """
    return frozenset(int(number) for number in column(place.sql, database, EXECUTIONS) if number)
