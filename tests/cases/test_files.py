"""Cases 1, 9 and 21: files and objects that a database refers to come back, or are named; so is what is lost later."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.backup.tree import pack_tree
from harness.core.contents import Missing
from harness.core.service import Objects, Tree
from harness.postgres import dump
from harness.recovery.restore_files import files_lost_since
from harness.s3.client import client, ensure_bucket
from harness.s3.objects import Bucket
from harness.substrate.common.folder_volume import FolderVolume
from tests.cases.estate import CaseEstate

pytestmark = pytest.mark.cases
STORED = "SELECT store_fname FROM attachment WHERE store_fname IS NOT NULL"
FILESTORE = Tree("odoo-filestore", "odoo", "filestore/odoo", "odoo", STORED, sha1_named=True)
KEYS = Objects("media", "app", "SELECT key FROM file")
UPLOADS = Tree("uploads", "uploads", "media")
GIF = b"GIF89a\x01\x00\x01\x00"


def sha1_path(data: bytes) -> str:
    digest = hashlib.sha1(data).hexdigest()  # noqa: S324 - as Odoo names its files
    return f"{digest[:2]}/{digest}"


def attachments(estate: CaseEstate, *contents: bytes) -> list[str]:
    """Create Odoo's table with a row and a file for each content; return the paths."""
    estate.declare("odoo", trees=[FILESTORE])
    estate.create("odoo", "CREATE TABLE attachment (id serial, store_fname text)")
    for data in contents:
        estate.run("odoo", f"INSERT INTO attachment (store_fname) VALUES ('{sha1_path(data)}')")  # noqa: S608
        estate.put_file("odoo", f"filestore/odoo/{sha1_path(data)}", data)
    return [sha1_path(data) for data in contents]


def root(estate: CaseEstate, volume: str, site: str = "primary") -> Path:
    found = estate.site(site).site.volume(volume)
    assert isinstance(found, FolderVolume)
    return found.root


def with_keys(estate: CaseEstate, *keys: str) -> None:
    """Create a database that refers to `keys`, and the bucket."""
    estate.declare("app", objects=[KEYS])
    estate.create("app", "CREATE TABLE file (key text)")
    for key in keys:
        quoted = key.replace("'", "''")
        estate.run("app", f"INSERT INTO file VALUES ('{quoted}')")  # noqa: S608
    ensure_bucket(estate.primary.place.s3, "media")


def bucket(estate: CaseEstate, site: str, name: str = "media") -> Bucket:
    return Bucket(estate.site(site).place.s3, name)


def stored(estate: CaseEstate, key: str, site: str = "dr") -> tuple[bytes, dict[str, str], dict[str, str]]:
    """Return content, headers and tags of an object."""
    with bucket(estate, site).open(key) as found:
        return found.read(1 << 20), dict(found.headers), dict(found.tags)


# Case 1: what is referenced is asked inside the snapshot.


def test_files_whose_rows_are_deleted_while_the_dump_runs_are_in_the_backup(
    estate: CaseEstate, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = attachments(estate, *(b"file %d" % n for n in range(6)))
    ordinary = dump.dump_task

    def deleting(*words: object, **more: object) -> object:
        estate.run("odoo", "DELETE FROM attachment WHERE id IN (3, 4)")
        return ordinary(*words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(dump, "dump_task", deleting)
    estate.back_up()
    assert estate.value("odoo", "SELECT count(*) FROM attachment", "primary") == 4
    restored = estate.restore()
    assert estate.value("odoo", "SELECT count(*) FROM attachment") == 6
    assert restored.lost_objects == ()
    assert [estate.file("odoo", f"filestore/odoo/{path}") for path in paths] == [b"file %d" % n for n in range(6)]


def test_files_that_are_gone_when_they_are_read_are_named_in_backup_and_restore(estate: CaseEstate) -> None:
    paths = attachments(estate, *(b"file %d" % n for n in range(6)))
    for path in paths[2:4]:
        root(estate, "odoo").joinpath("filestore/odoo", path).unlink()
    estate.back_up()
    (tree,) = estate.contents.trees
    assert tree.files == 4
    assert set(tree.missing) == {Missing(path, "no such file") for path in paths[2:4]}
    lost = [f"odoo-filestore: {path}: no such file" for path in sorted(paths[2:4])]
    assert list(estate.restore().lost_objects) == lost


# Case 21: odd references cost nothing but themselves.


def test_odd_references_are_named_with_their_reason(estate: CaseEstate) -> None:
    (good, bad) = attachments(estate, b"good", b"bad")
    estate.put_file("odoo", f"filestore/odoo/{bad}", b"other")
    odd = {
        "ab/stale": "no such file",
        "s3://bucket/key": "is no path: it is a URL",
        "": "is no path: it names no file",
        "/": "is no path: it names no file",
        "/etc/passwd": "is no path of the volume: it is absolute",
        "../../../etc/passwd": "is no path of the volume: it leads out of it",
        "ab/../ab": "is no path of the volume: it leads out of it",
        good[:2]: "is a folder",
        f"{good}/below": "leads through a link or a file",
        "fi/fo": "is a FIFO",
        "li/nk": "is a symbolic link",
        "li/nked/x": "leads through a link or a file",
        "n" * 300: "file name too long",
    }
    for path in odd:
        estate.run("odoo", f"INSERT INTO attachment (store_fname) VALUES ('{path}')")  # noqa: S608
    filestore = root(estate, "odoo") / "filestore/odoo"
    for folder in ("fi", "li"):
        (filestore / folder).mkdir()
    os.mkfifo(filestore / "fi/fo")
    (filestore / "li/nk").symlink_to("/etc/passwd")
    (filestore / "li/nked").symlink_to("/etc")
    estate.back_up()
    (tree,) = estate.contents.trees
    found = {lost.path: lost.reason for lost in tree.missing}
    assert found.pop(bad) == "checksum mismatch: its name is the SHA-1 of other content"
    assert {path: reason.split(f"{path!r} ")[-1] for path, reason in found.items()} == odd
    assert tree.files == 1
    restored = estate.restore()
    assert len(restored.lost_objects) == len(odd) + 1
    assert estate.file("odoo", f"filestore/odoo/{good}") == b"good"


def test_a_filestore_behind_a_link_is_named_file_by_file(estate: CaseEstate, tmp_path: Path) -> None:
    paths = attachments(estate, b"one", b"two")
    there = root(estate, "odoo") / "filestore"
    there.rename(tmp_path / "elsewhere")
    there.symlink_to(tmp_path / "elsewhere")
    estate.back_up()
    assert {lost.path for lost in estate.contents.trees[0].missing} == set(paths)
    assert "leads through a link" in estate.contents.missing[0]


# What was found on the primary.


def test_what_no_service_declares_goes_to_where_it_was(estate: CaseEstate) -> None:
    estate.create("app")
    estate.declare("app", trees=[Tree("volume odd", "odd", "", found=True)], objects=[Objects("forgotten", found=True)])
    estate.put_file("odd", "deep/file", b"data")
    estate.put_object("forgotten", "key", b"object")
    estate.back_up()
    assert all(tree.found for tree in estate.contents.trees)
    estate.declare("app")  # as on the day of the disaster: no service knows them
    assert estate.restore().lost_objects == ()
    assert estate.file("odd", "deep/file") == b"data"
    assert estate.content("forgotten", "key") == b"object"


def test_a_bucket_that_two_services_refer_to_and_a_volume_of_links_are_not_lost(estate: CaseEstate) -> None:
    estate.create("app", "CREATE TABLE file (key text)", "INSERT INTO file VALUES ('a')")
    estate.create("odoo", "CREATE TABLE file (key text)", "INSERT INTO file VALUES ('b')")
    both = [Objects("media", name, "SELECT key FROM file") for name in ("app", "odoo")]
    estate.declare("app", "odoo", objects=both)
    for key in ("a", "b"):
        estate.put_object("media", key, key.encode())
    links = root(estate, "links")
    (links / "a link").symlink_to("/etc")
    (links / "b link").symlink_to("/etc")
    found = pack_tree(estate.primary.place, Tree("volume links", "links", "", found=True), None)
    assert list(found.names()) == list(found.names()) == []
    assert [lost.path for lost in found.lost] == ["a link", "b link"]
    estate.back_up()
    estate.restore()
    assert [estate.content("media", key) for key in ("a", "b")] == [b"a", b"b"]


# Before sign-off.


def since(estate: CaseEstate, change: Callable[[], None]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    estate.back_up()
    restored = estate.restore()
    place, services = estate.dr.place, [estate.service]
    untouched = files_lost_since(place, services, restored.contents, restored.inventories)
    assert (untouched.lost, untouched.changed) == ((), ())
    change()
    found = files_lost_since(place, services, restored.contents, restored.inventories)
    return found.lost, found.changed


def test_lost_and_changed_uploads_are_seen_before_sign_off(estate: CaseEstate) -> None:
    estate.create("app")
    estate.declare("app", trees=[UPLOADS], objects=[Objects("media")])
    for name in ("kept", "gone", "emptied", "changed"):
        estate.put_file("uploads", f"media/{name}", b"data")
        estate.put_object("media", name, b"data")

    def change() -> None:
        root(estate, "uploads", "dr").joinpath("media/gone").unlink()
        client(estate.dr.place.s3).remove_object("media", "gone")
        for name, data in (("emptied", b""), ("changed", b"other")):
            estate.put_file("uploads", f"media/{name}", data, "dr")
            estate.put_object("media", name, data, "dr")

    lost, changed = since(estate, change)
    assert sorted(lost) == [
        "bucket media: emptied: is empty",
        "bucket media: gone: no such object",
        "uploads: emptied: is empty",
        "uploads: gone: no such file",
    ]
    assert sorted(changed) == [
        "bucket media: changed: has other content than the backup",
        "uploads: changed: has other content than the backup",
    ]


def test_what_the_database_no_longer_refers_to_is_not_missed(estate: CaseEstate) -> None:
    paths = attachments(estate, b"one", b"two", b"three")

    def change() -> None:
        for path in paths[:2]:
            root(estate, "odoo", "dr").joinpath("filestore/odoo", path).unlink()
        estate.run("odoo", f"DELETE FROM attachment WHERE store_fname = '{paths[0]}'", site="dr")  # noqa: S608
        estate.put_file("odoo", f"filestore/odoo/{paths[2]}", b"other", "dr")

    lost, changed = since(estate, change)
    assert sorted(lost) == sorted(
        [
            f"odoo-filestore: {paths[1]}: no such file",
            f"odoo-filestore: {paths[2]}: has other content than the backup",
        ]
    )
    assert changed == ()
