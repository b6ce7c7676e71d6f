"""Example data of Odoo: a database with the example shop, and what key functions expect of it."""

import hashlib
from dataclasses import dataclass
from importlib.resources import files

from harness.core.errors import HarnessError
from harness.core.service import Place
from harness.patience import PATIENCE
from harness.postgres.server import make_database, transaction
from harness.services.odoo import shop
from harness.services.odoo.program import ADMIN_SECRET, DATABASE_SECRET, HINT, Program, reference, run

MODULE = "sale_management"


@dataclass(frozen=True, slots=True)
class Known:
    """What key functions expect in the shop. `lines`: product code, quantity, unit price."""

    order: str
    lines: tuple[tuple[str, float, float], ...]
    attachment: str
    size: int
    sha256: str

    @property
    def amount(self) -> float:
        """The order's total, in the company's currency."""
        return round(sum(quantity * price for _, quantity, price in self.lines), 2)


KNOWN = Known(
    order=shop.KNOWN_ORDER,
    lines=tuple((code, float(count), price) for code, count, price in shop.lines(0)),
    attachment=shop.KNOWN_ATTACHMENT,
    size=shop.KNOWN_SIZE,
    sha256=hashlib.sha256(shop.letter(shop.KNOWN_ATTACHMENT, shop.KNOWN_SIZE)).hexdigest(),
)


def seed(program: Program, place: Place) -> None:
    """Create role, database and example shop on an empty site. Leaves nothing running. Raises HarnessError."""
    make_database(place.sql, program.database, program.role, reference(place.secrets, DATABASE_SECRET))
    # Modules that would be installed automatically are not needed to sell, and cost a third of the time.
    install = ("server", "-i", MODULE, "--with-demo", "--skip-auto-install", "--stop-after-init")
    run(place, program.task(place, "install", *install), patience=PATIENCE.odoo_seed)
    script = files("harness.services.odoo").joinpath("shop.py").read_bytes() + b"\nfill(env)\n"
    run(place, program.task(place, "fill", "shell", stdin=script, admin=ADMIN_SECRET), patience=PATIENCE.odoo_seed)
    require_shop(program.database, place)


def require_shop(database: str, place: Place) -> None:
    """Raise HarnessError when customers, orders or attachments of the shop are missing."""
    query = """select (select count(*) from res_partner where ref like 'SHOP-C%'),
        (select count(*) from sale_order where client_order_ref similar to '(SHOP|BLACKSTART)-%'),
        (select count(*) from ir_attachment where res_model = 'sale.order' and store_fname is not null)"""
    with transaction(place.sql, database, HINT) as connection:
        found = connection.execute(query).fetchone()
    if found != (expected := (shop.CUSTOMERS, shop.ORDERS, shop.ATTACHMENTS)):
        raise HarnessError(f"database {database}: customers, orders, attachments: {found} instead of {expected}")
