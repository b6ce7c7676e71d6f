"""Faults of an existing DR site, or of its allowlist: each must keep a restore test from being run there."""

from harness.postgres.server import connect
from harness.s3.client import client, read_tag
from harness.scenario.faults.fault import Fault, Scene, When
from harness.scenario.faults.observers import databases_on, digest_of
from harness.scenario.foreign_repository import TAG

OTHER_SYSTEM = "1234567890123456789"


def allowlist(scene: Scene) -> str:
    """The digest of the list of drill targets, "" when there is none."""
    return digest_of(scene.borrowed.targets)


def make_client_database(scene: Scene) -> None:
    """Create a database with a table of clients on the DR site."""
    place = scene.environment.dr.place
    for name, statement in (("postgres", "CREATE DATABASE of_clients"), ("of_clients", "CREATE TABLE orders (n int)")):
        with connect(place.sql, name) as connection:
            connection.execute(statement)


FAULTS = (
    Fault(
        "a missing list of drill targets", When.BEFORE_RESTORE_TEST, lambda s: s.borrowed.targets.unlink(), None,
        allowlist, named="list of drill targets",
    ),
    Fault(
        "an unreadable list of drill targets", When.BEFORE_RESTORE_TEST,
        lambda s: s.borrowed.targets.write_text("[[target", encoding="utf-8"), None, allowlist,
        named="unreadable list of drill targets",
    ),
    Fault(
        "a database of another system", When.BEFORE_RESTORE_TEST, lambda s: s.borrowed.allow(OTHER_SYSTEM, TAG), None,
        allowlist, named="its database system is",
    ),
    Fault(
        "a store without a tag", When.BEFORE_RESTORE_TEST,
        lambda s: client(s.environment.dr.place.s3).delete_bucket_tags(s.borrowed.bucket), None,
        lambda s: read_tag(s.environment.dr.place.s3, s.borrowed.bucket), named="its bucket tag is no tag",
    ),
    Fault(
        "production declared and listed", When.BEFORE_RESTORE_TEST, lambda s: s.borrowed.declare_production(), None,
        allowlist, named="is production's, and never a drill target",
    ),
    Fault(
        "a database of clients", When.BEFORE_RESTORE_TEST, make_client_database, None,
        lambda s: databases_on(s.environment.dr.place.sql), named="site dr is in use: it holds the database of_clients",
    ),
)  # fmt: skip
