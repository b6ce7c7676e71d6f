"""Key functions of Odoo (message 2.8.1), tested through the public front door.

JSON-RPC as Odoo's own web client speaks it:
https://www.odoo.com/documentation/19.0/developer/reference/external_rpc_api.html
"""

import hashlib
import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.errors import Finding
from harness.core.node import Address
from harness.core.service import REACHED, Answer, KeyFunction, PublicDoor
from harness.core.text import some
from harness.patience import PATIENCE
from harness.services.odoo.example import Known
from harness.services.odoo.program import ADMIN_SECRET, reference
from harness.vault import read_text_secret

MESSAGE = "2.8.1"
LOGIN = "admin"
# Names of the key functions of every Odoo with data of its own; with several databases each names its database.
LOG_IN, LOAD = "log in", "load every installed module"
OPEN, SHOW = "open the newest attachments", "show the login page"
OK = 200
SESSION_EXPIRED = 100  # Odoo's own code in a JSON-RPC error
CENT = 0.005
SHOWN = 5  # modules that a finding names
NEWEST, LARGEST = 3, 32 << 20  # attachments that are opened, and the bytes that each has at most
ASSET = re.compile(rb'"(/web/assets/[^"]+)"')


@dataclass(frozen=True, slots=True)
class Clerk:
    """JSON-RPC client of Odoo. `session`: name of the HTTP session; `several`: whether there are other databases."""

    session: str
    database: str
    password_ref: str
    door: PublicDoor
    login: str = LOGIN
    several: bool = False
    patience: float = PATIENCE.odoo_request  # of one request

    def log_in(self) -> int:
        """Log in and return the id of the user. Raises Finding, OSError."""
        credentials = {"db": self.database, "login": self.login, "password": read_text_secret(self.password_ref)}
        path = "/web/session/authenticate"
        reply = self._post(path, credentials)
        if "error" in reply:
            raise Finding(f"log in as {self.login} to database {self.database}: {_reason(reply)}")
        user = reply["result"].get("uid")
        if type(user) is not int:  # `false` for a wrong password is an int as well
            raise Finding(f"log in as {self.login} to database {self.database}: {path} returned no user")
        return user

    def call(self, model: str, method: str, *args: Any, **kwargs: Any) -> Any:
        """Return the result of a model's method; logs in if the session has expired. Raises Finding, OSError."""
        path = f"/web/dataset/call_kw/{model}/{method}"
        params = {"model": model, "method": method, "args": args, "kwargs": kwargs}
        reply = self._post(path, params)
        if reply.get("error", {}).get("code") == SESSION_EXPIRED:
            self.log_in()
            reply = self._post(path, params)
        if "error" in reply:
            raise Finding(f"{model}.{method}: {_reason(reply)}")
        return reply["result"]

    def get(self, path: str) -> Answer:
        """Return the answer to a GET request within the session. Raises OSError."""
        return self.door.request("GET", path, session=self.session, patience=PATIENCE.odoo_request)

    def loaded_modules(self) -> frozenset[str]:
        """Return the names of the modules that this Odoo has loaded on the database. Raises Finding, OSError."""
        reply = self._post("/web/session/modules", {})
        if "error" in reply:
            raise Finding(f"modules of database {self.database}: {_reason(reply)}")
        return frozenset(reply["result"])

    def _post(self, path: str, params: Mapping[str, Any]) -> dict[str, Any]:
        body = {"jsonrpc": "2.0", "method": "call", "params": params}
        answer = self.door.request("POST", path, json=body, session=self.session, patience=self.patience)
        if answer.status != OK:
            raise Finding(f"{path} answered {answer.status} instead of {OK}")
        try:
            reply = json.loads(answer.body)
        except ValueError:
            raise Finding(f"{path}: answer is not JSON: {answer.body[:80]!r}") from None
        if not isinstance(reply, dict) or not ("error" in reply or "result" in reply):
            raise Finding(f"{path}: answer is not JSON-RPC: {answer.body[:80]!r}")
        return reply


def key_functions(
    service: str,
    database: str,
    secrets: Mapping[str, str],
    known: Known | None,
    *,
    login: str = LOGIN,
    several: bool = False,
) -> Sequence[KeyFunction]:
    """Return the key functions on one database of an Odoo, with its name if there are `several`.

    `known`: what the example shop has; None where the data are somebody's own. Raises UsageError when the secret
    `odoo-admin` is missing.
    """
    password = reference(secrets, ADMIN_SECRET)
    session, where = (f"{service}/{database}", f" ({database})") if several else (service, "")

    def key(name: str, check: Callable[[Clerk], str]) -> KeyFunction:
        def run(door: PublicDoor) -> str:
            return check(Clerk(session, database, password, door, login, several))

        return KeyFunction(f"{name}{where}", service, MESSAGE, run)

    own = (key(LOG_IN, logs_in), key(LOAD, loads_modules))
    if known is None:
        return (*own, key(OPEN, opens_newest), key(SHOW, shows_login_page))
    return (
        *own,
        key("read a known order", lambda clerk: reads_order(clerk, known)),
        key("open a known attachment", lambda clerk: opens_attachment(clerk, known)),
        key(SHOW, shows_login_page),
        key("write a new order", lambda clerk: writes_order(clerk, known)),
    )


def built_in(databases: Sequence[str]) -> Sequence[str]:
    """Return the names of the key functions that an Odoo with data of its own has beside its declared ones."""
    where = [f" ({database})" for database in databases] if len(databases) > 1 else [""]
    return tuple(f"{name}{one}" for one in where for name in (LOG_IN, LOAD, OPEN, SHOW))


def logs_in(clerk: Clerk) -> str:
    """Log in as the declared user; return a line for the record. Raises Finding, OSError."""
    return f"logged in to database {clerk.database} as user {clerk.log_in()}"


def loads_modules(clerk: Clerk) -> str:
    """Compare the modules of the database with those that Odoo has loaded: it starts without one whose files it lacks.

    Return a line for the record. Raises Finding, OSError.
    """
    model = "ir.module.module"
    domain: list[list[Any]] = [["state", "=", "installed"]]
    if clerk.call(model, "fields_get", ["imported"], ["type"]):
        domain.append(["imported", "=", False])  # those are rows alone: they have no files
    installed = {str(row["name"]) for row in clerk.call(model, "search_read", domain, fields=["name"])}
    if missing := sorted(installed - clerk.loaded_modules()):
        raise Finding(
            f"{len(missing)} of {len(installed)} installed modules are not loaded: {some(missing, SHOWN)}; "
            "put their files, and those of the modules that they need, where this Odoo looks for addons"
        )
    if not installed:
        raise Finding(f"database {clerk.database} has no installed module: it is no Odoo's")
    return f"all {len(installed)} installed modules are loaded"


def reads_order(clerk: Clerk, known: Known) -> str:
    """Read the known order and compare amount and lines; return a line for the record. Raises Finding, OSError."""
    order = find_order(clerk, known.order)
    if abs(order["amount_total"] - known.amount) > CENT:
        raise Finding(f"order {known.order}: amount {order['amount_total']} instead of {known.amount}")
    found = _lines(clerk, order["order_line"])
    if found != known.lines:
        raise Finding(f"order {known.order}: lines {found} instead of {known.lines}")
    return f"order {order['name']} ({known.order}): {len(found)} lines, {known.amount:.2f}"


def opens_attachment(clerk: Clerk, known: Known) -> str:
    """Compare the bytes of the known attachment; return a line for the record. Raises Finding, OSError."""
    order = find_order(clerk, known.order)
    name = f'attachment "{known.attachment}" of order {known.order}'
    domain = [["res_model", "=", "sale.order"], ["res_id", "=", order["id"]], ["name", "=", known.attachment]]
    rows = clerk.call("ir.attachment", "search_read", domain, fields=["id"])
    if len(rows) != 1:
        raise Finding(f"{name}: {len(rows)} with that name instead of 1")
    answer = clerk.get(f"/web/content/{rows[0]['id']}?download=1")
    if answer.status != OK:
        raise Finding(f"{name}: answered {answer.status} instead of its {known.size} bytes")
    if len(answer.body) != known.size:
        raise Finding(f"{name}: {len(answer.body)} bytes instead of {known.size}")
    if (found := hashlib.sha256(answer.body).hexdigest()) != known.sha256:
        raise Finding(f"{name}: SHA-256 {found[:12]} instead of {known.sha256[:12]}")
    return f"{name}: {known.size} bytes, SHA-256 {known.sha256[:12]}"


def opens_newest(clerk: Clerk) -> str:
    """Compare the newest attachments with the SHA-1 that Odoo has of each; return a line. Raises Finding, OSError."""
    # Those with a path are bundles of scripts, which Odoo makes anew; those without a file's name are in the database.
    # A search that does not name `res_field` leaves out the files of records' own fields, such as pictures.
    domain: list[Any] = [
        ["type", "=", "binary"],
        ["url", "=", False],
        ["store_fname", "!=", False],
        "|",
        ["res_field", "=", False],
        ["res_field", "!=", False],
        ["checksum", "!=", False],
        ["file_size", ">", 0],
        ["file_size", "<", LARGEST],
    ]
    fields, order = ["name", "checksum", "file_size"], "id desc"
    rows = clerk.call("ir.attachment", "search_read", domain, fields=fields, order=order, limit=NEWEST)
    for row in rows:
        name, answer = f"attachment {row['id']} ({row['name']})", clerk.get(f"/web/content/{row['id']}?download=1")
        if answer.status != OK:
            raise Finding(f"{name}: answered {answer.status} instead of its {row['file_size']} bytes")
        if (found := hashlib.sha1(answer.body, usedforsecurity=False).hexdigest()) != row["checksum"]:
            raise Finding(f"{name}: {len(answer.body)} bytes with SHA-1 {found[:12]} instead of {row['checksum'][:12]}")
    size = sum(row["file_size"] for row in rows)
    return (
        f"the newest {len(rows)} attachments, {size} bytes, have their SHA-1"
        if rows
        else "there is no attachment with a file"
    )


def shows_login_page(clerk: Clerk) -> str:
    """Get the login page, its style sheets and scripts; return a line for the record. Raises Finding, OSError."""
    session = f"{clerk.session}, not logged in" if clerk.several else ""
    if clerk.several:  # the session keeps the database that is named, as a browser does
        clerk.door.request("GET", f"/web/login?db={clerk.database}", session=session, patience=PATIENCE.odoo_request)
    page = clerk.door.request("GET", "/web/login", session=session, patience=PATIENCE.odoo_request)
    if page.status != OK:
        raise Finding(f"/web/login answered {page.status} instead of {OK}")
    paths = sorted({path.decode() for path in ASSET.findall(page.body)})
    if not paths:
        raise Finding("/web/login has no links to /web/assets: not Odoo's login page")
    size = 0
    for path in paths:
        answer = clerk.door.request("GET", path, session=session, patience=PATIENCE.odoo_request)
        if answer.status != OK or not answer.body:
            raise Finding(f"{path} of the login page: answered {answer.status} with {len(answer.body)} bytes")
        size += len(answer.body)
    return f"login page with {len(paths)} assets of {size} bytes"


def writes_order(clerk: Clerk, known: Known) -> str:
    """Create an order, read it back and delete it; return a line for the record. Raises Finding, OSError."""
    customer = find_order(clerk, known.order)["partner_id"][0]
    code, quantity, price = known.lines[0]
    products = clerk.call("product.product", "search_read", [["default_code", "=", code]], fields=["id"])
    if not products:
        raise Finding(f"product {code} is missing: no order can be created")
    line = {"product_id": products[0]["id"], "product_uom_qty": quantity, "price_unit": price}
    drill = f"BLACKSTART-DRILL-{uuid.uuid4()}"
    row = {"partner_id": customer, "client_order_ref": drill, "order_line": [[0, 0, line]]}
    created = clerk.call("sale.order", "create", [row])
    order = find_order(clerk, drill)
    found = _lines(clerk, order["order_line"])
    if [order["id"]] != created or found != (known.lines[0],):
        raise Finding(f"order {drill}: written {known.lines[0]}, read back {found}")
    # Possible because it is a draft.
    clerk.call("sale.order", "unlink", created)
    return f"order {order['name']} created, read back, deleted"


def find_order(clerk: Clerk, wanted: str) -> dict[str, Any]:
    """Return the order with that reference of its customer. Raises Finding when there is not exactly one, OSError."""
    fields = ["name", "amount_total", "order_line", "partner_id"]
    found: list[dict[str, Any]] = clerk.call(
        "sale.order", "search_read", [["client_order_ref", "=", wanted]], fields=fields
    )
    if len(found) != 1:
        raise Finding(f"order {wanted}: {len(found)} with that reference instead of 1")
    return found[0]


def _lines(clerk: Clerk, ids: Sequence[int]) -> tuple[tuple[str, float, float], ...]:
    """Return the lines of an order in sequence: product code, quantity, unit price."""
    rows = clerk.call("sale.order.line", "read", ids, ["product_id", "product_uom_qty", "price_unit"])
    codes = clerk.call("product.product", "read", [row["product_id"][0] for row in rows], ["default_code"])
    named = {row["id"]: row["default_code"] for row in codes}
    return tuple((named[r["product_id"][0]], float(r["product_uom_qty"]), float(r["price_unit"])) for r in rows)


def _reason(reply: Mapping[str, Any]) -> str:
    """Return Odoo's message of an error in one line."""
    error = reply["error"]
    detail = error.get("data", {}).get("message") or error.get("message") or "no reason given"
    return " ".join(str(detail).split())[:200]


def mail_server(clerk: Clerk, to: Address) -> str:
    """Create a mail server at an address and have it tried; return REACHED or the error. Raises Finding, OSError."""
    clerk.log_in()
    server = {"name": "outside", "smtp_host": to.host, "smtp_port": to.port, "smtp_encryption": "none"}
    made = clerk.call("ir.mail_server", "create", [server])
    try:
        clerk.call("ir.mail_server", "test_smtp_connection", made)
    except Finding as error:
        return str(error)
    return REACHED
