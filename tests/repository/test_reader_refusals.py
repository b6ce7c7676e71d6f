"""What a writer signed and what is stored must agree in every place, and each contradiction is named. In memory."""

from __future__ import annotations

import base64
import hmac
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from harness.core.clock import SYSTEM
from harness.core.errors import Unreadable, UsageError
from harness.pem import fingerprint
from harness.repository.catalogue import Repository
from harness.repository.committed import CommittedBackup
from harness.repository.format.commit import BaseRange, Commit, Predecessor, digest_of
from harness.repository.format.expiry import Expiry, read_expiry
from harness.repository.format.frames import FRAME, _Decompressor, _Frame, compress, regroup
from harness.repository.format.layout import UNSIGNED, Layout, key_binding, manifest_binding, new_id
from harness.repository.format.manifest import Manifest, canonical
from harness.repository.format.recipients import read_private, read_public, wrap
from harness.repository.format.seal import seal
from harness.repository.format.unsigned import read_unsigned
from harness.repository.lineage import lineage
from harness.repository.reader import OpenBackup, small_object
from harness.repository.store.read_only import ReadOnly
from harness.repository.wal.catalogue import Shipped, read_wal
from harness.repository.wal.reader import WalReader
from harness.repository.wal.writer import begin_wal
from harness.signing import read_signing_key
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients, back_up, contents

DEK = bytes(range(32))
SEEN = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def repository(recipients: Recipients) -> Repository:
    repository = recipients.repository(MemoryStore())
    back_up(repository, recipients)
    return repository


def opened(repository: Repository, recipients: Recipients) -> tuple[Commit, OpenBackup]:
    (entry,) = repository.committed()
    assert entry.commit is not None
    return entry.commit, repository.open(entry, recipients.dr[0])


def test_a_wrapped_key_of_other_data_is_named(repository: Repository, recipients: Recipients) -> None:
    commit, _ = opened(repository, recipients)
    other = wrap(bytes(32), read_public(recipients.dr[1]), key_binding(commit.cluster, commit.backup_id))
    for entry in list(repository.store.list(repository.layout.keys(commit.backup_id))):
        repository.store.put(entry.key, (other,))
    with pytest.raises(
        Unreadable, match=f"backup {commit.backup_id}: the wrapped key of .* is of other data: replaced"
    ):
        opened(repository, recipients)


def test_a_manifest_of_another_digest_is_not_opened(repository: Repository, recipients: Recipients) -> None:
    commit, _ = opened(repository, recipients)
    key = repository.layout.manifest(commit.backup_id)
    text = b"".join(repository.store.get(key))
    repository.store.put(key, (text[:-1] + bytes([text[-1] ^ 1]),))
    with pytest.raises(Unreadable, match="manifest: SHA-256 differs from the one in COMMIT"):
        opened(repository, recipients)


def test_a_manifest_of_another_estate_is_refused(repository: Repository, recipients: Recipients) -> None:
    """All of it signed and sealed by the writer."""
    commit, backup = opened(repository, recipients)
    text = replace(backup.manifest, estate="other").to_json()
    bound = manifest_binding(commit.cluster, commit.backup_id)
    sealed = b"".join(seal(compress(regroup((text,), FRAME)), backup._dek, bound))
    repository.store.put(repository.layout.manifest(commit.backup_id), (sealed,))
    sizes = {"manifest_stored": len(sealed), "manifest_plain": len(text), "manifest_sha256": digest_of(sealed)}
    changed = commit.model_copy(update=sizes).signed(read_signing_key(recipients.writer[0]))
    repository.store.put(repository.layout.commit(commit.backup_id), (changed,))
    with pytest.raises(Unreadable, match=f"manifest: belongs to backup {commit.backup_id} of estate other"):
        opened(repository, recipients)


def test_another_size_than_the_manifest_says_is_found_by_verify(repository: Repository, recipients: Recipients) -> None:
    _, backup = opened(repository, recipients)
    first, *others = backup.manifest.objects
    other = replace(backup, manifest=replace(backup.manifest, objects=(replace(first, stored_size=10), *others)))
    with pytest.raises(Unreadable, match=f"{first.stored_size} bytes are stored instead of 10"):
        other.verify()


@pytest.mark.parametrize("opened_before", [False, True])
def test_an_object_more_than_committed_is_found(
    repository: Repository, recipients: Recipients, opened_before: bool
) -> None:
    (entry,) = repository.committed()
    if opened_before:
        assert repository.shown(entry, recipients.dr[0]) is None
        assert repository.shown(entry, recipients.dr[0]) is not None
    repository.store.put(repository.layout.data(entry.backup_id, "more"), (b"x",))
    with pytest.raises(Unreadable, match=r"3 objects of \d+ bytes are stored instead of 2"):
        repository.shown(entry, recipients.dr[0])


def test_what_is_stored_of_a_damaged_backup_cannot_be_compared(repository: Repository) -> None:
    with pytest.raises(Unreadable, match="backup one: not signed by anyone"):
        repository.require_stored(CommittedBackup("one", "not signed by anyone"))


def test_a_backup_that_nobody_signed_is_read_only_when_it_was_asked_for(repository: Repository) -> None:
    """Of the format before, whose COMMIT anyone could write."""
    old = new_id(SYSTEM)
    repository.store.put(repository.layout.commit(old), (json.dumps({"format": UNSIGNED}).encode(),))
    asked = replace(repository, trust=replace(repository.trust, allow_unsigned=True))
    said = [next(one.damaged for one in of.committed() if one.backup_id == old) for of in (repository, asked)]
    assert f"not signed ({UNSIGNED}): anyone may have written it" in str(said[0])
    assert said[1] == f"store in memory, {repository.layout.manifest(old)}.json: does not exist"


class Counting(MemoryStore):
    """A store that notes how many manifests of the format before are read at a time."""

    under_way = 0
    most = 0

    def get(self, key: str, offset: int = 0, length: int = 0) -> Iterator[bytes]:
        if not key.endswith(".json") or "/manifest/" not in key:
            yield from super().get(key, offset, length)
            return
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        SYSTEM.sleep(0.02)
        self.under_way -= 1
        yield b"{}"


def test_large_manifests_of_the_format_before_are_read_one_at_a_time(recipients: Recipients) -> None:
    store = Counting()
    repository = recipients.repository(store)
    for number in range(6):
        store.put(
            repository.layout.commit(f"{number}{new_id(SYSTEM)[1:]}"), (json.dumps({"format": UNSIGNED}).encode(),)
        )
    asked = replace(repository, trust=replace(repository.trust, allow_unsigned=True))
    assert [entry.damaged for entry in asked.committed()] == ["COMMIT or manifest: malformed (KeyError)"] * 6
    assert store.most == 1


def test_a_small_object_is_read_no_further_than_it_may_be_long() -> None:
    store = MemoryStore()
    store.put("shop/commit/a", (b"eleven byte",))
    assert small_object(store, "shop/commit/a", 11) == b"eleven byte"
    with pytest.raises(Unreadable, match=r"^shop/commit/a: larger than the limit of 10 bytes$"):
        small_object(store, "shop/commit/a", 10)


def test_a_note_of_expired_backups_of_another_estate_counts_for_nothing(recipients: Recipients) -> None:
    text = Expiry(estate="shop", at=SEEN, backups=()).signed(read_signing_key(recipients.writer[0]))
    assert read_expiry(text, "shop", recipients.trust.writers).at == SEEN
    with pytest.raises(Unreadable, match="of estate shop"):
        read_expiry(text, "other", recipients.trust.writers)


def test_a_frame_has_the_size_that_it_states_whatever_the_library_returns() -> None:
    """zstandard refuses such a frame by itself; this is what happens should it not."""
    decompressor, frame = _Decompressor(), _Frame(3, bytearray(b"any"), 4)
    lying: Any = SimpleNamespace(decompress=lambda _body, **_options: b"more than four")
    decompressor._context = lying
    with pytest.raises(Unreadable, match="frame 3: has 14 bytes and states 4"):
        decompressor.plaintext(frame)


@pytest.mark.parametrize("name", ["", "a/b", "..", "shop\n", "ü", "x" * 64])
def test_an_estates_name_is_a_plain_one(name: str) -> None:
    with pytest.raises(UsageError, match="use letters, digits"):
        Layout(name)


def committed(name: str, parent: Predecessor | None = None, *, digest: str = "", **changed: Any) -> CommittedBackup:
    base = BaseRange.model_construct(timeline=1, start=0, stop=1, parent=parent)
    fields: dict[str, Any] = {"cluster": "7391", "base": base}
    commit = Commit.model_construct(**(fields | changed))
    return CommittedBackup(name, None, digest, commit)


def test_the_parent_of_an_incremental_backup_is_the_one_that_it_names() -> None:
    parent = Predecessor.model_construct(sequence=1, backup_id="full", digest="aa")
    child = committed("child", parent)
    full = committed("full", digest="aa")
    assert lineage(child, [child, full]) == (full, child)
    for one, said in {
        None: "is not in the repository",
        CommittedBackup("full", "not signed", "aa"): "is not trusted: not signed",
        committed("full", digest="bb"): "was replaced: its COMMIT has another digest",
        committed("full", digest="aa", cluster="666"): "is physical, of database system 666, not of 7391",
        committed("full", digest="aa", base=None): "is logical, of database system 7391",
    }.items():
        with pytest.raises(Unreadable, match=f"backup full, which child builds on, {re.escape(said)}"):
            lineage(child, [child, *([one] if one else [])])


def test_a_store_that_shows_no_versions_says_so() -> None:
    with pytest.raises(Unreadable, match="the offsite store, key: this store shows no versions"):
        ReadOnly(MemoryStore(), "the offsite store").get_version("key", "v1", 10)


def test_wal_that_is_larger_than_its_list_says_is_not_unpacked_whole(recipients: Recipients) -> None:
    repository, size = recipients.repository(MemoryStore()), 16 << 20
    made = begin_wal(repository, "7391", size, recipients.public, recipients.writer[0], None)
    made.commit([made.put(1, 0, bytes(size))], SEEN)
    (shipped,) = read_wal(repository).segments[1, 0]
    lying = Shipped(shipped.entry.model_copy(update={"plain_size": 10}), shipped.listed)
    with pytest.raises(Unreadable, match=r"WAL 0+10+: (\d+) bytes differ from the signed list") as refused:
        WalReader(repository, recipients.dr[0]).read(lying)
    assert int(re.findall(r"(\d+) bytes", str(refused.value))[0]) <= FRAME
    other = Shipped(shipped.entry.model_copy(update={"plain_sha256": "0" * 64}), shipped.listed)
    with pytest.raises(Unreadable, match=f"{size} bytes differ from the signed list"):
        WalReader(repository, recipients.dr[0]).read(other)


def unsigned(recipients: Recipients) -> tuple[dict[str, Any], bytes]:
    """Return COMMIT and manifest of a backup of the format before."""
    name = new_id(SYSTEM)
    manifest = Manifest("shop", "7391", name, contents(), (), SEEN, SEEN, ())
    wrapped = wrap(DEK, read_public(recipients.dr[1]), key_binding("7391", name, UNSIGNED))
    listed = [
        {"fingerprint": fingerprint(read_public(recipients.dr[1])), "wrapped": base64.b64encode(wrapped).decode()}
    ]
    text = canonical({**json.loads(manifest.to_json()), "format": UNSIGNED, "recipients": listed})
    key = HKDF(hashes.SHA256(), 32, None, f"{UNSIGNED} manifest".encode()).derive(DEK)
    code = hmac.digest(key, text, "sha256").hex()
    commit = {"format": UNSIGNED, "backup_id": name, "manifest_sha256": digest_of(text), "manifest_hmac": code}
    return commit, text


def test_an_unsigned_backup_is_opened_with_its_key_unless_it_was_altered(recipients: Recipients) -> None:
    commit, text = unsigned(recipients)
    name, private = str(commit["backup_id"]), read_private(recipients.dr[0])
    found = read_unsigned(json.dumps(commit).encode(), text, "shop", name)
    assert found.data_key(private) == DEK
    with pytest.raises(Unreadable, match="the manifest was altered after COMMIT"):
        replace(found, text=text + b" ").data_key(private)
    with pytest.raises(Unreadable, match="does not open it"):
        found.data_key(read_private(recipients.escrow[0]))
    for changed, estate, backup_id in (
        ({"manifest_sha256": "00"}, "shop", name),
        ({"backup_id": new_id(SYSTEM)}, "shop", name),
        ({}, "other", name),
        ({}, "shop", new_id(SYSTEM)),
    ):
        with pytest.raises(Unreadable, match="manifest: of another backup, or altered after COMMIT"):
            read_unsigned(json.dumps(commit | changed).encode(), text, estate, backup_id)
