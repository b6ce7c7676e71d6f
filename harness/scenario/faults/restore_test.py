"""Faults of an existing DR site or of its allowlist; each must cause the refusal of a restore test."""

from harness.postgres.server import connect
from harness.s3.client import client, read_tag
from harness.scenario.faults.fault import Fault, Scene, When
from harness.scenario.faults.observers import databases_on, digest_of
from harness.scenario.foreign_repository import TAG

OTHER_SYSTEM = "1234567890123456789"


def allowlist(scene: Scene) -> str:
    """Return the digest of the allowlist of drill targets, "" without one."""
    return digest_of(scene.foreign_repository.targets)


def make_client_database(scene: Scene) -> None:
    """Create a client database with one table on the DR site."""
    place = scene.environment.dr.place
    for name, statement in (("postgres", "CREATE DATABASE orders"), ("orders", "CREATE TABLE orders (n int)")):
        with connect(place.sql, name) as connection:
            connection.execute(statement)


FAULTS = (
    Fault(
        "a missing allowlist of drill targets", When.BEFORE_RESTORE_TEST,
        lambda s: s.foreign_repository.targets.unlink(), None, allowlist, named="allowlist of drill targets",
    ),
    Fault(
        "an unreadable allowlist of drill targets", When.BEFORE_RESTORE_TEST,
        lambda s: s.foreign_repository.targets.write_text("[[target", encoding="utf-8"), None, allowlist,
        named="unreadable allowlist of drill targets",
    ),
    Fault(
        "a database of another system", When.BEFORE_RESTORE_TEST,
        lambda s: s.foreign_repository.allow(OTHER_SYSTEM, TAG), None, allowlist, named="its database system is",
    ),
    Fault(
        "a store without a tag", When.BEFORE_RESTORE_TEST,
        lambda s: client(s.environment.dr.place.s3).delete_bucket_tags(s.foreign_repository.bucket), None,
        lambda s: read_tag(s.environment.dr.place.s3, s.foreign_repository.bucket), named="its bucket tag is no tag",
    ),
    Fault(
        "production declared as the DR site", When.BEFORE_RESTORE_TEST,
        lambda s: s.foreign_repository.declare_production(), None, allowlist, named="production is never",
    ),
    Fault(
        "a client database", When.BEFORE_RESTORE_TEST, make_client_database, None,
        lambda s: databases_on(s.environment.dr.place.sql), named="in use: it has the database orders",
    ),
)  # fmt: skip
