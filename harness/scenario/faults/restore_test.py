"""Faults of an existing DR site or of its allowlist; each must cause the refusal of a restore test."""

from harness.postgres.identity import system_facts
from harness.postgres.server import connect
from harness.restore_test.targets import signature_of
from harness.s3.client import client, read_tag
from harness.scenario.faults.fault import Fault, Scene, When
from harness.scenario.faults.observers import databases_on, digest_of
from harness.scenario.foreign_repository import TAG

OTHER_SYSTEM = "1234567890123456789"


def allowlist(scene: Scene) -> str:
    """Return the digest of the allowlist of drill targets, "" without one."""
    return digest_of(scene.foreign_repository.targets)


def signature(scene: Scene) -> str:
    """Return the digest of the allowlist's signature, "" without one."""
    return digest_of(signature_of(scene.foreign_repository.targets))


def change(scene: Scene) -> None:
    """Add an entry to the allowlist and leave its signature."""
    entry = f'[[target]]\nname = "other"\nsystem = "{OTHER_SYSTEM}"\nbucket = "b"\ntag = "t"\n'
    with scene.foreign_repository.targets.open("a", encoding="utf-8") as file:
        file.write(entry)


def expire(scene: Scene) -> None:
    """Write and sign an allowlist whose entry has expired."""
    system = system_facts(scene.environment.dr.place.sql).identifier
    scene.foreign_repository.allow(system, TAG, until="2020-01-31")


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
        lambda s: s.foreign_repository.sign("[[target"), None, allowlist, named="unreadable allowlist of drill targets",
    ),
    Fault(
        "an unsigned allowlist of drill targets", When.BEFORE_RESTORE_TEST,
        lambda s: signature_of(s.foreign_repository.targets).unlink(), None, signature, named="unsigned allowlist",
    ),
    Fault(
        "an allowlist of drill targets that was changed after it was signed", When.BEFORE_RESTORE_TEST,
        change, None, allowlist, named="was changed after it was signed",
    ),
    Fault(
        "an allowlist of drill targets signed by another key", When.BEFORE_RESTORE_TEST,
        lambda s: s.foreign_repository.replace_signer(), None, signature, named="which is not trusted here",
    ),
    Fault(
        "an expired entry of the allowlist of drill targets", When.BEFORE_RESTORE_TEST, expire, None, allowlist,
        named="its entry has expired",
    ),
    Fault(
        "a missing key of the allowlist of drill targets", When.BEFORE_RESTORE_TEST,
        lambda s: s.foreign_repository.targets_key.unlink(), None,
        lambda s: digest_of(s.foreign_repository.targets_key), named="key of the allowlist of drill targets",
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
