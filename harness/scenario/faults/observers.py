"""Witnesses of faults: independent observations, compared before and after a fault."""

import hashlib
import io
import os
from pathlib import Path

import psycopg

from harness.core.errors import HarnessError
from harness.core.node import Address, Site
from harness.core.service import S3, Sql, Tree
from harness.postgres.identity import databases
from harness.s3.client import ERRORS, client
from harness.scenario.faults.fault import Scene
from harness.substrate.common.probe import UNANSWERED, probe

LARGE = 8 << 20  # bytes; larger than the free space of a full store
PROBE = "blackstart-probe"


def database_answers(sql: Sql) -> bool:
    """Return whether a PostgreSQL server answers; no password is sent."""
    try:
        psycopg.connect(host=sql.outside.host, port=sql.outside.port, user=PROBE, connect_timeout=2).close()
    except psycopg.OperationalError as error:
        return "fe_sendauth" in str(error) or "FATAL" in str(error)  # a server that asks for a password is up
    return True


def accepts(address: Address) -> bool:
    """Return whether an address accepts a TCP connection."""
    try:
        probe(address, "", 0, proxied=True)
    except UNANSWERED:
        return False
    return True


def has_room(s3: S3, bucket: str) -> bool:
    """Return whether a store accepts a test object of 8 MiB, which is then removed."""
    store = client(s3)
    try:
        store.put_object(bucket, PROBE, io.BytesIO(os.urandom(LARGE)), LARGE)
        store.remove_object(bucket, PROBE)
    except ERRORS:
        return False
    return True


def stored_objects(scene: Scene) -> frozenset[tuple[str, int, str, str]]:
    """Return key, size in bytes, modification time and ETag of every object in the repository."""
    return frozenset((e.key, e.size, str(e.modified), e.etag) for e in scene.backups.repository.store.list(""))


def databases_on(sql: Sql) -> tuple[str, ...] | None:
    """Return the databases on a server, None when it does not answer."""
    try:
        return databases(sql)
    except HarnessError:
        return None


def files_of(site: Site, tree: Tree) -> int:
    """Return how many files a tree has on a site."""
    return sum(is_in(tree, path) for path in site.volume(tree.volume).walk())


def is_in(tree: Tree, path: str) -> bool:
    """Return whether a file of its volume is in a tree's folder."""
    return not tree.folder or path.startswith(f"{tree.folder}/")


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, hex, "" for a missing file."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""
