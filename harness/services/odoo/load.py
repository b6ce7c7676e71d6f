"""Clients of an Odoo that enter numbered orders during a drill, one ledger a database."""

import re
from collections.abc import Callable, Mapping
from functools import partial

from harness.core.errors import Finding
from harness.core.service import Place, PublicDoor
from harness.declaration import StoreClients
from harness.patience import PATIENCE
from harness.services.odoo.example import KNOWN
from harness.services.odoo.keys import Clerk, find_order
from harness.services.odoo.program import ADMIN_SECRET, reference

PREFIX = "LEDGER-"
NUMBERED = re.compile(rf"{PREFIX}([1-9][0-9]*)")
QUIET = {"tracking_disable": True, "mail_create_nolog": True}  # no message in the order's own log


def store_clients(service: str, databases: tuple[str, ...]) -> tuple[StoreClients, ...]:
    """Return the clients of each database of an Odoo."""
    several = len(databases) > 1
    return tuple(
        StoreClients(
            f"{service}/{database} orders" if several else f"{service} orders",
            partial(sender, service, database, several),
            partial(survivors, service, database, several),
        )
        for database in databases
    )


def clerk_of(
    service: str, database: str, several: bool, door: PublicDoor, secrets: Mapping[str, str], patience: float
) -> Clerk:
    """Return a client with a session of its own. Raises UsageError without the secret `odoo-admin`."""
    password = reference(secrets, ADMIN_SECRET)
    return Clerk(f"{service}/{database}, ledger", database, password, door, several=several, patience=patience)


def sender(
    service: str, database: str, several: bool, door: PublicDoor, secrets: Mapping[str, str]
) -> Callable[[int], bool]:
    """Return a function that enters order N and returns whether Odoo acknowledged it. It raises OSError."""
    clerk = clerk_of(service, database, several, door, secrets, PATIENCE.store_write)
    customer: list[int] = []

    def send(number: int) -> bool:
        try:
            if not customer:
                clerk.log_in()
                customer.append(find_order(clerk, KNOWN.order)["partner_id"][0])
            row = {"partner_id": customer[0], "client_order_ref": f"{PREFIX}{number}"}
            return bool(clerk.call("sale.order", "create", [row], context=QUIET))
        except Finding:
            customer.clear()  # log in anew
            return False

    return send


def survivors(
    service: str, database: str, several: bool, door: PublicDoor, secrets: Mapping[str, str], _place: Place
) -> frozenset[int]:
    """Return the numbers of all orders of the ledger behind the front door. Raises OSError, Finding."""
    clerk = clerk_of(service, database, several, door, secrets, PATIENCE.odoo_request)
    clerk.log_in()
    domain = [["client_order_ref", "=like", f"{PREFIX}%"]]
    rows = clerk.call("sale.order", "search_read", domain, fields=["client_order_ref"])
    found = (NUMBERED.fullmatch(str(row["client_order_ref"])) for row in rows)
    return frozenset(int(match[1]) for match in found if match)
