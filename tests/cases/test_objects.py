"""Cases 6, 7, 9 and 20: objects come back with all that belongs to them, whatever they are called."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
from typing import cast

import pytest

from harness.backup.archive import Member
from harness.backup.pack import pack_objects
from harness.backup.unpack import Inventory
from harness.core.contents import Contents, SystemFacts
from harness.core.errors import BackupFailed, HarnessError, RestoreFailed
from harness.core.journal import MemoryJournal
from harness.core.service import S3, Objects, Place
from harness.recovery.restore_files import FileRestore, confused
from harness.recovery.write_files import into_bucket
from harness.repository.catalogue import OpenBackup
from harness.s3.client import client, ensure_bucket
from harness.s3.objects import META, RESTORED, Bucket
from harness.s3.replication import copy_task
from tests.cases.pair import BACKUP, BUCKET, NOWHERE, Pair, bucket, stored

pytestmark = pytest.mark.cases
GIF = b"GIF89a\x01\x00\x01\x00"
HEADERS = {
    "content-type": "image/gif; charset=binary",
    "cache-control": "public, max-age=31536000",
    "content-disposition": "attachment; filename=\"a b.gif\"; filename*=UTF-8''%C3%BC.gif",
    "content-language": "de, en",
    "expires": "Wed, 21 Oct 2026 07:28:00 GMT",
    "x-amz-meta-author": "A. Nobody",
    "x-amz-meta-with-dash": "1=2;3",
    "x-amz-meta-odd": "vä lue 日本 =?UTF-8?Q?v=C3=A4?=",
    "x-amz-meta-long": "x" * 1000,
}
TAGS = {"class": "a+b c", "k=:/@._-": "v", "ü": "ä"}
SIZES = {"empty": 0, "small": 1, "streamed": 300_000, "in parts": 20 << 20}


def test_a_declared_bucket_that_is_missing_and_a_store_without_an_answer_fail_the_backup(pair: Pair) -> None:
    with pytest.raises(BackupFailed, match=r"bucket uploads: the store at .* has none of that name; create it, or"):
        pack_objects(pair.primary, Objects("uploads"), None)
    s3 = pair.primary.s3
    away = Place(pair.primary.site, pair.primary.sql, S3(NOWHERE, NOWHERE, s3.access_key_ref, s3.secret_key_ref), {})
    with pytest.raises(HarnessError, match=r"bucket uploads at 127.0.0.1:9: cannot be reached: .*refused"):
        pack_objects(away, Objects("uploads"), ["key"])


# Case 6: what a client sees of an object.


def test_metadata_and_tags_of_objects_come_back(pair: Pair) -> None:
    data = {name: os.urandom(size) for name, size in SIZES.items()}
    for name, body in data.items():
        pair.put(name, body, HEADERS, TAGS)
    pair.carry()
    assert {name: stored(pair.dr, name) for name in data} == {n: (body, HEADERS, TAGS) for n, body in data.items()}
    with bucket(pair.dr).open("small") as found:
        assert found.restored == BACKUP


def test_an_object_with_content_encoding_is_kept_as_it_is(pair: Pair) -> None:
    headers = {"content-type": "text/html", "content-encoding": "gzip"}
    pages = {"page": gzip.compress(b"<p>" * 1000), "no gzip": b"not what its header says"}
    for key, data in pages.items():
        pair.put(key, data, headers)
    pair.carry()
    assert {key: stored(pair.dr, key) for key in pages} == {key: (data, headers, {}) for key, data in pages.items()}


# Cases 7 and 20: any key.

LONGEST = "k" * 1015  # with the `.versions` that SeaweedFS adds: 1,024 bytes
PLAIN = [
    "sp ace",
    "new\nline",
    "tab\t",
    "q?x#y%41+",
    "&<>\"'",
    "ü",
    "u\u0308",
    "\U0001f600",
    LONGEST,
    " lead",
    "*",
    "a:b",
]
LISTED_OTHERWISE = ["back\\slash", "/lead", "//two", "a//b", "c\\\\d/e\\f"]
REFUSED = ["../up", "a/../b", "a/./b", "."]


def test_any_key_comes_back(pair: Pair) -> None:
    keys = PLAIN + LISTED_OTHERWISE
    for key in keys:
        pair.put(key, key.encode())
    assert pair.carry([*keys, "absent", *REFUSED]).files == len(keys)
    assert pair.refused == {}
    assert {key: stored(pair.dr, key)[0] for key in keys} == {key: key.encode() for key in keys}


def test_an_object_that_the_store_refuses_keeps_no_other_from_being_restored(pair: Pair) -> None:
    fresh, large, refused = Objects("with-versions"), io.BytesIO(bytes(3 << 20)), dict[str, str]()
    write = into_bucket(pair.dr, fresh, BACKUP, lambda *_words: None, lambda _, key, why: refused.update({key: why}))
    write(Member("k" * 5000, 3 << 20), large)
    write(Member("good", 4), io.BytesIO(b"good"))
    assert large.read() == b""
    assert refused.keys() == {"k" * 5000}
    with pytest.raises(RestoreFailed, match=r"bucket with-versions: a/../b cannot be restored: .*signature"):
        write(Member("a/../b", 1), io.BytesIO(b"x"))  # denied: as with a wrong key, for every object
    assert list(Bucket(pair.dr.s3, fresh.bucket).keys()) == ["good"]


def test_a_key_that_is_absent_or_cannot_be_asked_for_is_named(pair: Pair) -> None:
    lost = {gone.path: gone.reason for gone in pair.carry(["absent", "deep/absent", *REFUSED]).missing}
    refused = dict.fromkeys(REFUSED, "object name with '.' or '..' path segment is not supported")
    assert lost == {"absent": "no such object", "deep/absent": "no such object", **refused}


def test_a_key_of_white_space_is_named_with_its_reason(pair: Pair) -> None:
    lost = {gone.name: gone.reason for gone in pair.carry([" ", "\u2028"]).missing}
    assert set(lost) == {" ", "\u2028"}
    for reason in lost.values():
        assert "a key of white space alone, which the client does not ask for; rename the object" in reason


@pytest.mark.night
def test_a_whole_bucket_of_many_small_objects_comes_back(pair: Pair) -> None:
    keys = [f"{n % 7}/{n}" for n in range(1200)] + PLAIN  # more than one page of a listing
    for key in keys:
        pair.put(key, key.encode())
    assert pair.carry().files == len(keys)
    assert set(bucket(pair.dr).keys()) == set(keys)
    assert stored(pair.dr, "5/1188")[0] == b"5/1188"


def test_keys_that_the_store_takes_for_each_other_are_named(pair: Pair) -> None:
    ensure_bucket(pair.dr.s3, BUCKET)
    inventory = Inventory("bucket media")
    # A store other than SeaweedFS has all of them; each is written over the one before it, or without its content.
    for key, data in (("a\\b", b"first"), ("a/b", b"second"), ("plain", b"plain"), ("/lead", b"lead"), ("x/", b"x")):
        inventory.add(Member(key, len(data), object=True), hashlib.sha256(data).hexdigest())
        pair.replicate(key, data)
    assert list(confused(bucket(pair.dr), inventory)) == [
        "a\\b: has other content than the backup: the store takes its key for another",
        "x/: is empty: the store takes its key for another",
    ]


# Case 9: replicas.


def test_a_replica_with_other_content_is_put_right_and_named(pair: Pair) -> None:
    data = {name: os.urandom(size) for name, size in SIZES.items() if size}
    for name, body in data.items():
        pair.put(name, body, {"content-type": "a/b"})
        for at in (0, -1):
            wrong = bytearray(body)
            wrong[at] ^= 1
            pair.put(f"{name}{at}", body)
            pair.replicate(f"{name}{at}", bytes(wrong))
        pair.put(f"{name} longer", body)
        pair.replicate(f"{name} longer", body + b"x")
        # As rclone copies: with a note of its own.
        pair.replicate(name, body, {"content-type": "a/b", META + "mtime": "1.5"})
    pair.put("empty", b"")
    pair.replicate("empty", b"x")
    pair.carry()
    assert sorted(pair.corrected) == sorted(
        [(f"{name}{at}", "content") for name in data for at in (0, -1)]
        + [(f"{name} longer", f"content: {len(b) + 1} bytes instead of {len(b)}") for name, b in data.items()]
        + [("empty", "content: 1 bytes instead of 0")]
    )
    for name, body in data.items():
        for key in (name, f"{name}0", f"{name}-1", f"{name} longer"):
            assert stored(pair.dr, key)[0] == body
        with bucket(pair.dr).open(name) as found:
            assert not found.restored  # the replica is still there
    # The bucket has versions: what replication brought can still be looked at.
    versions = client(pair.dr.s3).list_objects(BUCKET, prefix="small0", include_version=True)
    assert len(list(versions)) == 2


def test_a_replica_without_the_metadata_is_put_right(pair: Pair) -> None:
    for key in ("a", "b"):
        pair.put(key, GIF, HEADERS, TAGS)
    pair.replicate("a", GIF, HEADERS)
    pair.replicate("b", GIF, {**HEADERS, "content-type": "text/plain"}, TAGS)
    pair.replicate("newer than the backup", b"new")
    pair.carry()
    assert sorted(pair.corrected) == [("a", "metadata: tags"), ("b", "metadata: content-type")]
    assert stored(pair.dr, "a") == stored(pair.dr, "b") == (GIF, HEADERS, TAGS)
    assert stored(pair.dr, "newer than the backup")[0] == b"new"


def test_what_rclone_replicated_is_as_in_the_backup(pair: Pair) -> None:
    known = {name: text for name, text in HEADERS.items() if name != "expires"}  # which rclone does not copy
    for name, size in SIZES.items():
        pair.put(name, os.urandom(size), known)
    pair.put("without metadata", GIF)
    pair.put("with more", GIF, {"expires": HEADERS["expires"]}, TAGS)
    ensure_bucket(pair.dr.s3, BUCKET)
    with pair.dr.site.run(copy_task(pair.primary.s3, pair.dr.s3, BUCKET)) as running:
        assert running.finish(60.0).code == 0
    pair.carry()
    assert pair.corrected == [("with more", "metadata: expires, tags")]


def test_what_a_restore_test_wrote_over_replicas_is_put_back(pair: Pair) -> None:
    for key in ("a", "same", "new"):
        pair.put(key, b"as in the backup")
    pair.replicate("a", b"newer than the backup")
    pair.replicate("same", b"as in the backup")
    pair.replicate("written twice", b"first")
    pair.replicate("written twice", b"second")
    pair.carry()
    assert stored(pair.dr, "a")[0] == b"as in the backup"
    assert bucket(pair.dr).put_back("another backup") == ()
    assert bucket(pair.dr).put_back(BACKUP) == ("a",)
    found = {key: stored(pair.dr, key)[0] for key in ("a", "same", "new", "written twice")}
    assert found["a"] == b"newer than the backup"
    assert (found["same"], found["new"], found["written twice"]) == (*[b"as in the backup"] * 2, b"second")


def test_an_object_of_an_earlier_restore_is_not_marked_twice(pair: Pair) -> None:
    pair.put("a", b"a", {META + RESTORED: "an earlier one"})
    pair.carry()
    with bucket(pair.dr).open("a") as found:
        assert (found.restored, META + RESTORED in found.headers) == (BACKUP, False)


def test_what_the_store_refused_is_lost(pair: Pair) -> None:
    files = FileRestore(pair.dr, (), cast("OpenBackup", None), MemoryJournal())
    contents = Contents(SystemFacts("1", "18.1", 1), (), (), ())
    assert files.lost(pair.dr.sql, contents) == ()
    files._refuse(BUCKET, "k", "too long")
    assert files.lost(pair.dr.sql, contents) == (f"bucket {BUCKET}: k: refused by the store: too long",)


def test_a_store_that_refuses_too_many_objects_is_no_matter_of_one(pair: Pair) -> None:
    files = FileRestore(pair.dr, (), cast("OpenBackup", None), MemoryJournal())
    for number in range(100):
        files._refuse("media", str(number), "too long")
    with pytest.raises(RestoreFailed, match="bucket media: the store refuses more than 100 objects, the last: too odd"):
        files._refuse("media", "one more", "too odd")
