"""The example shop on a site: role, database, Odoo with its demo data, and what drills know of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files

import psycopg
from psycopg import sql

from harness.core.errors import HarnessError
from harness.core.service import Place
from harness.patience import PATIENCE
from harness.postgres.server import connect, one_line
from harness.services.odoo import shop
from harness.services.odoo.database import transaction
from harness.services.odoo.program import ADMIN_SECRET, DATABASE_SECRET, ROLE, Program, reference, run
from harness.vault import read_text_secret

MODULE = "sale_management"


@dataclass(frozen=True, slots=True)
class Known:
    """What a client knows of the shop beforehand. `lines`: product code, quantity, unit price."""

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
    """Make the shop on an empty site; nothing is left running. Raises HarnessError."""
    make_database(program, place)
    # Modules that install themselves beside it are not needed to sell, and cost a third of the time.
    install = ("server", "-i", MODULE, "--with-demo", "--skip-auto-install", "--stop-after-init")
    run(place, program.task(place, "install", *install), patience=PATIENCE.odoo_seed)
    script = files("harness.services.odoo").joinpath("shop.py").read_bytes() + b"\nfill(env)\n"
    run(place, program.task(place, "fill", "shell", stdin=script, admin=ADMIN_SECRET), patience=PATIENCE.odoo_seed)
    require_shop(program.database, place)


def make_database(program: Program, place: Place) -> None:
    """Make the role, which owns nothing but its database, and the database. The server sees no clear password."""
    password = read_text_secret(reference(place.secrets, DATABASE_SECRET))
    role, database = sql.Identifier(ROLE), sql.Identifier(program.database)
    with connect(place.sql) as connection:
        verifier = connection.pgconn.encrypt_password(password.encode(), ROLE.encode(), b"scram-sha-256").decode()
        statements = (
            sql.SQL("create role {} login password {}").format(role, sql.Literal(verifier)),
            sql.SQL("create database {} owner {} encoding 'UTF8' template template0").format(database, role),
        )
        try:
            for statement in statements:
                connection.execute(statement)
        except psycopg.Error as error:
            where = f"role {ROLE}, database {program.database} on site {place.site.name}"
            raise HarnessError(f"{where}: {one_line(error)}; seed an empty site") from error


def require_shop(database: str, place: Place) -> None:
    """Raise HarnessError when the shop is not all there."""
    query = """select (select count(*) from res_partner where ref like 'SHOP-C%'),
        (select count(*) from sale_order where client_order_ref similar to '(SHOP|BLACKSTART)-%'),
        (select count(*) from ir_attachment where res_model = 'sale.order' and store_fname is not null)"""
    with transaction(place, database) as connection:
        found = connection.execute(query).fetchone()
    if found != (expected := (shop.CUSTOMERS, shop.ORDERS, shop.ATTACHMENTS)):
        raise HarnessError(f"the seeded shop has customers, orders, attachments {found} instead of {expected}")
