"""What the tests of the repository share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from harness.core.contents import Contents, DatabaseFacts, SystemFacts, TableFacts, TreeFacts
from harness.core.node import Node
from harness.repository.catalogue import Receipt, Repository
from harness.repository.format.recipients import new_pair
from harness.repository.store.port import ObjectStore
from harness.repository.store.s3 import S3Store

BUCKET = "backups"
ACCESS, SECRET = "offsite-access", "offsite-secret"
Launch = Callable[..., Node]


@dataclass(frozen=True, slots=True)
class Recipients:
    """The DR site's pair and the offline one: private half, public half."""

    dr: tuple[bytes, bytes] = field(default_factory=new_pair)
    escrow: tuple[bytes, bytes] = field(default_factory=new_pair)

    @property
    def public(self) -> tuple[str, str]:
        return self.dr[1].decode(), self.escrow[1].decode()


def store_at(node: Node, access: str = ACCESS, bucket: str = BUCKET) -> S3Store:
    outside = node.endpoint("s3").outside
    return S3Store.connect(outside.host, outside.port, access, SECRET, bucket)


def contents() -> Contents:
    """Facts of every kind, with names that JSON must take care of."""
    tables = (TableFacts("public.bestellung", 3, "ab" * 8), TableFacts("public.Größe", 0, ""))
    shop = DatabaseFacts(
        'shop "ü"', "odoo", "UTF8", "C.UTF-8", 8_000_000, datetime(2026, 3, 1, 2, 3, 4, 567, UTC), 1234.5678901,
        tables, (("orders_id_seq", 9_007_199_254_740_993),),
    )  # fmt: skip
    trees = (TreeFacts("filestore", 12, 3456, "cd" * 32),)
    return Contents(SystemFacts("7391", "18.1", 1), (shop,), trees, (("n8n-key", "ef" * 32),))


def back_up(repository: Repository, recipients: Recipients, **objects: bytes) -> Receipt:
    """Take a small backup: one object a keyword, `__` in it standing for `/`."""
    writer = repository.begin("7391", recipients.public)
    for name, data in (objects or {"globals": b"CREATE ROLE odoo;", "databases__shop": b"rows " * 400_000}).items():
        writer.add(name.replace("__", "/"), (data,))
    return writer.commit(contents())


def keys_of(store: ObjectStore, estate: str) -> list[str]:
    return [entry.key for entry in store.list(f"{estate}/")]
