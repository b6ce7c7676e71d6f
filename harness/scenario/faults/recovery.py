"""Faults of recoveries: on the DR site, in the repository and in the keys."""

from functools import partial

from harness.core.errors import HarnessError
from harness.estate.site import DATABASE
from harness.postgres.server import connect
from harness.scenario.faults.backup import first_tree
from harness.scenario.faults.fault import Fault, Scene, When
from harness.scenario.faults.observers import database_answers, databases_on, digest_of, files_of, is_in, stored_objects


def dr_database_up(scene: Scene) -> bool:
    """Return whether DR's database server answers."""
    sql = scene.environment.dr.sql
    return sql is not None and database_answers(sql)


def remove_largest_object(scene: Scene) -> None:
    """Remove the selected backup's largest object."""
    selected = scene.drill.selected
    backup_id = selected.backup.backup_id if selected is not None else ""
    store, estate = scene.environment.repository.store, scene.environment.config.estate.name
    store.delete(max(store.list(f"{estate}/data/{backup_id}/"), key=lambda entry: entry.size).key)


def make_foreign_database(scene: Scene) -> None:
    """Create a foreign database on the DR server."""
    with connect(scene.environment.dr.place.sql) as connection:
        connection.execute("CREATE DATABASE foreign_database")


def remove_files(scene: Scene) -> None:
    """Remove a service's files on the DR site."""
    tree = first_tree(scene.environment)
    volume = scene.environment.dr.site.volume(tree.volume)
    for path in tuple(volume.walk()):
        if is_in(tree, path):
            volume.remove(path)


def replace_secret(scene: Scene, name: str, value: bytes) -> None:
    """Replace the value of a secret of the DR site."""
    secrets = scene.environment.secrets
    path = secrets.root / "dr" / name
    scene.later(partial(secrets.put, "dr", name, path.read_bytes()))
    secrets.put("dr", name, value)


def dr_secret(scene: Scene, name: str) -> str:
    """Return the digest of a secret of the DR site."""
    return digest_of(scene.environment.secrets.root / "dr" / name)


def shared_secret(scene: Scene) -> str:
    """The name of the first secret of which a backup holds the fingerprint; raises HarnessError where there is none."""
    for service in scene.environment.services:
        for name in service.sources().fingerprints:
            return name
    raise HarnessError("this estate has no secret whose fingerprint is in a backup")


FAULTS = (
    Fault(
        "the DR database server is killed", When.AFTER_SELECTION, lambda s: s.environment.dr.nodes[DATABASE].kill(),
        None, dr_database_up, named="PostgreSQL at",
    ),
    Fault(
        "the selected backup is deleted", When.AFTER_SELECTION, remove_largest_object, None, stored_objects,
        named="object .*: .*not there|NoSuchKey|no such",
    ),
    Fault(
        "the DR database server is not empty", When.AFTER_SELECTION, make_foreign_database, None,
        lambda s: databases_on(s.environment.dr.place.sql), named="already contains foreign_database",
    ),
    Fault(
        "the shop's files are lost", When.AFTER_RESTORE, remove_files, None,
        lambda s: files_of(s.environment.dr.site, first_tree(s.environment)), named="attachment",
    ),
    Fault(
        "the uploads are lost", When.AFTER_RESTORE, remove_files, None,
        lambda s: files_of(s.environment.dr.site, first_tree(s.environment)), named="answered 404",
    ),
    Fault(
        "the DR site has another automation key", When.AFTER_RESTORE,
        lambda s: replace_secret(s, shared_secret(s), b"another key than the one that was backed up"), None,
        lambda s: dr_secret(s, shared_secret(s)), named=r"secret \S+ on the DR site has fingerprint",
    ),
)  # fmt: skip
