"""One object that cannot be read, by whoever may write to the store, keeps nobody from reading the others."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from harness.core.errors import HarnessError, Unreadable
from harness.repository.store.directory.files import DirectoryStore
from harness.repository.store.directory.names import DEEPEST
from harness.repository.store.s3 import S3Store
from tests.repository.store.faulty import Fault, faulty
from tests.repository.store_servers import Recipients, back_up

pytestmark = pytest.mark.attacks
KEY = b"k" * 32  # of whoever may write to the bucket
CUSTOMER = "x-amz-server-side-encryption-customer-"
FORGED = "20260301T020304.000567Z-0123456789"


def nest(folder: Path, depth: int) -> None:
    """Make folders in each other, deeper than any path may be long, and a file in the last."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("a", dir_fd=here)
        below = os.open("a", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


def remove(folder: Path) -> None:
    """Remove a folder, however deep: no other program than `rm` does that."""
    subprocess.run(["/bin/rm", "-rf", str(folder)], check=True)


def test_folders_in_each_other_without_end_are_not_followed(
    directory: DirectoryStore, estate: str, recipients: Recipients
) -> None:
    """Fifteen hundred of them were more than the stack, and no backup was found any more."""
    repository = recipients.repository(directory, estate)
    receipt = back_up(repository, recipients)
    before = [one.key for one in directory.list("")]
    nest(directory.root / estate / "commit", 1500)
    try:
        assert [one.key for one in directory.list("")] == before
        assert directory.sweep("", 0) == 0
        assert repository.latest_valid(recipients.dr[0]).backup.backup_id == receipt.backup_id
    finally:
        remove(directory.root)


def test_a_key_of_more_folders_than_are_listed_is_not_stored(directory: DirectoryStore) -> None:
    deepest = "/".join("a" * (DEEPEST + 1))
    directory.put(deepest, (b"x",))
    assert [one.key for one in directory.list("")] == [deepest]
    with pytest.raises(HarnessError, match=f"cannot be stored: more than {DEEPEST} folders"):
        directory.put(f"a/{deepest}", (b"x",))


def test_a_socket_in_the_place_of_an_object_is_unreadable(
    directory: DirectoryStore, estate: str, recipients: Recipients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest backup is passed over, and the one before it is restored."""
    repository = recipients.repository(directory, estate)
    older, newest = (back_up(repository, recipients) for _ in range(2))
    key = repository.layout.data(newest.backup_id, "globals")
    path = directory.root / key
    path.unlink()
    monkeypatch.chdir(path.parent)  # the path of a socket is a short one
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path.name)
    with pytest.raises(Unreadable, match=r"globals: cannot be read: .* remove it"):
        list(directory.get(key))
    found = repository.latest_valid(recipients.dr[0])
    assert found.backup.backup_id == older.backup_id
    assert newest.backup_id in dict(found.passed_over)


OF_ANOTHER_USER = """
import os, sys
from harness.core.errors import Unreadable
from harness.repository.store.directory.files import DirectoryStore
from harness.repository.store.directory.marker import mark
from pathlib import Path

root = Path(sys.argv[1])
if os.getuid() == 0:
    os.chown(root, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
mark(root)
store = DirectoryStore(root)
for name in ("a", "b", "closed/c"):
    store.put(f"e/commit/{name}", (name.encode(),))
for name in ("b", "closed"):
    (root / "e/commit" / name).chmod(0)
print([one.key for one in store.list("e/commit/")], b"".join(store.get("e/commit/a")))
for name in ("b", "closed/c"):
    try:
        list(store.get(f"e/commit/{name}"))
    except Unreadable as error:
        print(error)
(root / "e/commit/closed").chmod(0o700)
"""


def test_a_file_and_a_folder_that_only_another_user_may_read_hide_no_other() -> None:
    folder = Path(tempfile.mkdtemp(prefix="blackstart-closed-"))  # not below a folder of this user alone
    try:
        command = [sys.executable, "-c", OF_ANOTHER_USER, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        first, *rest = done.stdout.splitlines()
    finally:
        remove(folder)
    assert first == "['e/commit/a', 'e/commit/b'] b'a'"
    assert [line.partition(", ")[2].partition(";")[0] for line in rest] == [
        "e/commit/b: cannot be read: permission denied",
        "e/commit/closed/c: cannot be read: permission denied",
    ]


def encrypted(store: S3Store, key: str) -> None:
    """Store an object that nobody reads without the key of whoever wrote it (SSE-C)."""
    digest = hashlib.md5(KEY, usedforsecurity=False).digest()
    headers: dict[str, str | list[str] | tuple[str]] = {
        f"{CUSTOMER}algorithm": "AES256",
        f"{CUSTOMER}key": base64.b64encode(KEY).decode(),
        f"{CUSTOMER}key-MD5": base64.b64encode(digest).decode(),
    }
    store._client._put_object(store.bucket, key, b"forged", headers)


@pytest.mark.programs
def test_an_object_that_its_writer_encrypted_costs_nobody_the_others(
    real_store: S3Store, estate: str, recipients: Recipients
) -> None:
    """The store refuses to read it, which ended every recovery."""
    repository = recipients.repository(real_store, estate)
    older, newest = (back_up(repository, recipients) for _ in range(2))
    encrypted(real_store, repository.layout.commit(FORGED))
    assert repository.latest_valid(recipients.dr[0]).backup.backup_id == newest.backup_id
    encrypted(real_store, repository.layout.data(newest.backup_id, "globals"))
    found = repository.latest_valid(recipients.dr[0])
    assert found.backup.backup_id == older.backup_id
    assert re.search(r"globals: cannot be read: refused \(Invalid\w+: ", dict(found.passed_over)[newest.backup_id])


@pytest.mark.parametrize("code", ["InvalidObjectState", "AccessDenied", "KMS.DisabledException"])
def test_a_refusal_of_one_object_is_told_from_one_of_the_store(code: str) -> None:
    """Archived, of another account, or encrypted with a key that is gone."""
    with faulty(lambda request: Fault(403, code) if request.kind == "get" else None) as server:
        store = server.store()
        store.put("a", (b"x",))
        with pytest.raises(Unreadable, match=code):
            list(store.get("a"))


@pytest.mark.parametrize(
    ("status", "code"), [(403, "InvalidAccessKeyId"), (404, "NoSuchBucket"), (400, "ExpiredToken")]
)
def test_what_is_of_the_whole_store_makes_no_backup_a_damaged_one(status: int, code: str) -> None:
    with faulty(lambda request: Fault(status, code) if request.kind == "get" else None) as server:
        with pytest.raises(HarnessError, match=r"a: cannot be read|a: does not exist") as refused:
            list(server.store().get("a"))
        assert not isinstance(refused.value, Unreadable)
