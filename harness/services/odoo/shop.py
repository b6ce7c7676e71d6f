"""Example data of Odoo: customers, products, orders and attachments of a shop.

This file is also piped into `odoo shell` on the site, where `fill(env)` runs inside Odoo, so it must not import from
this project. All data is derived from counters, so that every seed has the same content.
"""

import base64
import hashlib
import os
import pathlib
from typing import Any

CUSTOMERS, ORDERS, ATTACHMENTS = 40, 60, 20
CONFIRM_EVERY = 3
KNOWN_ORDER = "BLACKSTART-KNOWN-1"
KNOWN_ATTACHMENT = "terms.txt"
KNOWN_SIZE = 24_576
MAIL_HOST = "mail.invalid"
CRON_NAME = "Shop: remind the customers"
PAGE_BUNDLES = (("assets_frontend", "css"), ("assets_frontend_minimal", "js"), ("assets_frontend_lazy", "js"))
PRODUCTS = (
    ("SHOP-LAMP", "Hand lamp", 49.50),
    ("SHOP-CABLE", "Cable drum, 50 m", 120.00),
    ("SHOP-GEN", "Generator, 2 kW", 780.00),
    ("SHOP-FUSE", "Fuse, 16 A", 1.25),
    ("SHOP-GLOVE", "Insulating gloves", 18.90),
    ("SHOP-BOOK", "Log book", 7.00),
)
STREETS = ("Mill Lane", "Harbour Road", "Station Street", "Weir Walk", "Church Hill")
TRADES = ("Bakery", "Foundry", "Dairy", "Print Works", "Garage", "Pharmacy", "Nursery", "Ferry")


def reference(number: int) -> str:
    """Return the customer's reference of order `number`, counted from 0."""
    return KNOWN_ORDER if number == 0 else f"SHOP-{number:04}"


def lines(number: int) -> list[tuple[str, int, float]]:
    """Return the lines of order `number`: product code, quantity, unit price."""
    chosen = [PRODUCTS[(number + step) % len(PRODUCTS)] for step in range(1 + (number + 2) % 4)]
    return [(code, 1 + (number * 7 + place) % 12, price) for place, (code, _, price) in enumerate(chosen)]


def letter(title: str, size: int) -> bytes:
    """Return `size` bytes of text that compress like a document."""
    parts, length, page = [], 0, 0
    while length < size:
        seal = hashlib.sha256(f"{title} {page}".encode()).hexdigest()
        parts.append(f"{title}, paragraph {page}: goods are delivered to the door. Seal {seal}.\n")
        length, page = length + len(parts[-1]), page + 1
    return "".join(parts).encode()[:size]


def documents() -> list[tuple[int, str, bytes]]:
    """Return all attachments: number of the order, file name, content of 2 to 60 kB."""
    known = [(0, KNOWN_ATTACHMENT, letter(KNOWN_ATTACHMENT, KNOWN_SIZE))]
    sizes = [2_000 + 3_000 * number for number in range(1, ATTACHMENTS)]
    names = [f"delivery-note-{number:02}.txt" for number in range(1, ATTACHMENTS)]
    return known + [(n + 1, name, letter(name, size)) for n, (name, size) in enumerate(zip(names, sizes, strict=True))]


def fill(env: Any) -> None:
    """Create the shop in the database of `env`, an Odoo environment, and commit."""
    quiet = env(context=dict(env.context, tracking_disable=True, mail_create_nolog=True, mail_notrack=True))
    password = pathlib.Path(os.environ["BLACKSTART_FILE_ADMIN"]).read_text(encoding="utf-8")
    quiet.ref("base.user_admin").password = password.rstrip("\n")
    products = _products(quiet)
    customers = quiet["res.partner"].create(
        [
            {
                "name": f"{STREETS[n % len(STREETS)].split()[0]} {TRADES[n % len(TRADES)]}",
                "ref": f"SHOP-C{n:03}",
                "email": f"customer{n:03}@shop.example",
                "street": f"{n + 1} {STREETS[n % len(STREETS)]}",
                "customer_rank": 1,
            }
            for n in range(CUSTOMERS)
        ]
    )
    orders = _orders(quiet, customers, products)
    quiet["ir.attachment"].create(
        [
            {"name": name, "res_model": "sale.order", "res_id": orders[n].id, "datas": base64.b64encode(data)}
            for n, name, data in documents()
        ]
    )
    _outward(quiet)
    _pages(quiet)
    env.cr.commit()


def _products(env: Any) -> Any:
    """Create the products, without taxes, so that amounts do not depend on a chart of accounts."""
    rows = [
        {"default_code": code, "name": name, "list_price": price, "taxes_id": [(5, 0, 0)]}
        for code, name, price in PRODUCTS
    ]
    made = env["product.product"].create(rows)
    return {product.default_code: product.id for product in made}


def _orders(env: Any, customers: Any, products: Any) -> Any:
    rows = [
        {
            "partner_id": customers[n % CUSTOMERS].id,
            "client_order_ref": reference(n),
            "order_line": [
                (0, 0, {"product_id": products[code], "product_uom_qty": count, "price_unit": price})
                for code, count, price in lines(n)
            ],
        }
        for n in range(ORDERS)
    ]
    orders = env["sale.order"].create(rows)
    env["sale.order"].union(*orders[::CONFIRM_EVERY]).action_confirm()
    return orders


def _outward(env: Any) -> None:
    """Create outward actions, which containment must stop: a mail server and a scheduled action."""
    env["ir.mail_server"].create({"name": "Shop mail", "smtp_host": MAIL_HOST, "smtp_port": 25})
    env["ir.cron"].create(
        {
            "name": CRON_NAME,
            "model_id": env.ref("base.model_res_partner").id,
            "state": "code",
            "code": "env['ir.config_parameter'].sudo().set_param('shop.reminded', datetime.datetime.now())",
            "interval_number": 1,
            "interval_type": "hours",
            "active": True,
        }
    )


def _pages(env: Any) -> None:
    """Build the assets of the login page, so that they are in the filestore from the first backup on."""
    for bundle, kind in PAGE_BUNDLES:
        pages = env["ir.qweb"]
        made = pages._get_asset_bundle(f"web.{bundle}", css=kind == "css", js=kind == "js")  # noqa: SLF001 - no public API
        getattr(made, kind)()
