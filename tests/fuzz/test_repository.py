"""The repository under random damage: no entry hides another, nothing altered is restored, no exception but ours."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import strategies as st

from harness.backup.archive import Member
from harness.backup.build import described_backups
from harness.backup.unpack import unpack
from harness.core.clock import SYSTEM
from harness.core.contents import TreeFacts
from harness.core.errors import HarnessError, NoValidBackup, RestoreFailed, Unreadable
from harness.core.node import Readable
from harness.recovery.exposure import measure_exposure
from harness.repository.catalogue import OpenBackup, Repository
from harness.repository.format.commit import KIND, read_commit
from harness.repository.format.frames import compress, decompress
from harness.repository.format.layout import new_id
from harness.repository.format.manifest import read_manifest
from harness.repository.format.seal import open_sealed, reader_of, seal
from harness.repository.upkeep.reaper import reap
from harness.signing import read_signing_key, sign
from tests.fuzz.runs import fuzz, refusing
from tests.repository.format.test_manifest import MANIFEST
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients, back_up, keys_of

pytestmark = pytest.mark.fuzz
RECIPIENTS = Recipients()
ROWS = b"rows " * 1000
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=12), inner, max_size=5),
    max_leaves=20,
)
BYTES = st.binary(max_size=3000) | JSON.map(lambda one: json.dumps(one).encode())


@cache
def whole() -> dict[str, bytes]:
    """Return the objects of a repository with two backups."""
    store = MemoryStore()
    repository = RECIPIENTS.repository(store)
    for _ in range(2):
        back_up(repository, RECIPIENTS, globals=b"{}", databases__shop=ROWS)
    return {key: b"".join(store.get(key)) for key in keys_of(store, "shop")}


def copy() -> MemoryStore:
    """Return a store with a copy of that repository."""
    store = MemoryStore()
    for key, body in whole().items():
        store.put(key, (body,))
    return store


def changed(body: bytes, how: str, at: float, junk: bytes) -> bytes:
    """Return a damaged copy of an object."""
    place = int(at * max(len(body) - 1, 0))
    return {
        "flip": body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :] if body else junk,
        "cut": body[:place],
        "insert": body[:place] + junk + body[place:],
        "overwrite": body[:place] + junk + body[place + len(junk) :],
        "replace": junk,
        "twice": body + body,
    }[how]


DAMAGE = st.tuples(
    st.integers(0, 11),
    st.sampled_from(["flip", "cut", "insert", "overwrite", "replace", "twice", "delete", "swap", "sign"]),
    st.floats(0, 1),
    BYTES,
)


def damage(store: MemoryStore, number: int, how: str, at: float, junk: bytes) -> None:
    keys = keys_of(store, "shop")
    key, other = keys[number % len(keys)], keys[int(at * (len(keys) - 1))]
    if how == "delete":
        store.delete(key)
    elif how == "swap":
        one, two = b"".join(store.get(key)), b"".join(store.get(other))
        store.put(key, (two,))
        store.put(other, (one,))
    elif how == "sign":  # by the writer, so that what lies behind the signature is reached
        store.put(key, (sign(KIND, junk, [read_signing_key(RECIPIENTS.writer[0])]),))
    else:
        store.put(key, (changed(b"".join(store.get(key)), how, at, junk),))


def intact(backup: OpenBackup) -> None:
    assert b"".join(backup.read("databases/shop")) == ROWS
    assert b"".join(backup.read("globals")) == b"{}"


TARGETS: dict[str, Callable[[Repository], object]] = {
    "latest_valid": lambda repository: intact(repository.latest_valid(RECIPIENTS.dr[0]).backup),
    "backups": lambda repository: described_backups(repository, RECIPIENTS.dr[0]),
    "exposure": lambda repository: measure_exposure(repository, RECIPIENTS.dr[0], SYSTEM.wall()),
    "reap": lambda repository: reap(repository, 0),
}


@pytest.mark.parametrize("target", TARGETS)
def test_a_damaged_repository(target: str) -> None:
    def tried(damages: list[tuple[int, str, float, bytes]], unsigned: bool) -> None:
        store = copy()
        for one in damages:
            if keys_of(store, "shop"):
                damage(store, *one)
        repository = RECIPIENTS.repository(store)
        repository = replace(repository, trust=replace(repository.trust, allow_unsigned=unsigned))
        with refusing(NoValidBackup, HarnessError):
            TARGETS[target](repository)

    fuzz(target, tried, st.lists(DAMAGE, min_size=1, max_size=4), st.booleans())


def test_one_whole_backup_is_found_whatever_lies_beside_it() -> None:
    def tried(junk: list[tuple[str, bytes]]) -> None:
        store = copy()
        for kind, body in junk:
            store.put(f"shop/{kind}/{new_id(SYSTEM)}.json", (body,))
        chosen = RECIPIENTS.repository(store).latest_valid(RECIPIENTS.dr[0])
        intact(chosen.backup)
        assert chosen.findings == ()

    kinds = st.sampled_from(["commit", "manifest", "keys", "data", "intent"])
    fuzz("a whole backup beside junk", tried, st.lists(st.tuples(kinds, BYTES), max_size=5))


def drain(_member: Member, content: Readable) -> None:
    while content.read(1 << 16):
        pass


def read_tar(body: bytes) -> None:
    unpack("t", iter((body,)), TREE, drain)


@cache
def archive() -> bytes:
    """Return an archive with a file, an empty folder and a long name."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as made:
        for name, size in (("file", 10), ("long/" + "ü" * 120, 3000)):
            info = tarfile.TarInfo(name)
            info.size = size
            made.addfile(info, io.BytesIO(bytes(size)))
        folder = tarfile.TarInfo("empty")
        folder.type = tarfile.DIRTYPE
        made.addfile(folder)
    return target.getvalue()


TREE = TreeFacts("t", 2, 3010, "ab" * 32)
READERS: dict[str, Callable[[bytes], object]] = {
    "COMMIT": lambda body: read_commit(body, RECIPIENTS.trust.writers),
    "signed COMMIT": lambda body: read_commit(
        sign(KIND, body, [read_signing_key(RECIPIENTS.writer[0])]), RECIPIENTS.trust.writers
    ),
    "manifest": read_manifest,
    "frames": lambda body: sum(map(len, decompress((body,)))),
    "sealed header": lambda body: list(open_sealed(reader_of((body,)), bytes(32), b"")),
    "sealed frames": lambda body: list(
        decompress(open_sealed(reader_of(seal((body,), bytes(32), b"")), bytes(32), b""))
    ),
    "tar": read_tar,
}
SEEDS: dict[str, Callable[[], bytes]] = {
    "COMMIT": lambda: next(body for key, body in whole().items() if "/commit/" in key),
    "signed COMMIT": lambda: base64.b64decode(
        json.loads(next(body for key, body in whole().items() if "/commit/" in key))["payload"]
    ),
    "frames": lambda: b"".join(compress((ROWS,))),
    "sealed frames": lambda: b"".join(compress((ROWS,))),
    "manifest": MANIFEST.to_json,
    "tar": archive,
}


@pytest.mark.parametrize("name", READERS)
def test_a_reader(name: str) -> None:
    seed = SEEDS.get(name, lambda: b"")()

    def tried(junk: bytes, how: str, at: float) -> None:
        with refusing(RestoreFailed if name == "tar" else Unreadable):
            READERS[name](changed(seed, how, at, junk) if seed else junk)

    hows = st.sampled_from(["flip", "cut", "insert", "overwrite", "twice", "replace"])
    fuzz(name, tried, BYTES, hows, st.floats(0, 1))
