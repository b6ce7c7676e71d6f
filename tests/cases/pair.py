"""Two places with volumes and object stores, and without database servers."""

from __future__ import annotations

import ctypes
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from harness.backup.pack import pack_objects
from harness.backup.tree import pack_tree
from harness.backup.unpack import Write, unpack
from harness.core.contents import TreeFacts
from harness.core.node import Address
from harness.core.service import S3, Objects, Place, Sql, Tree
from harness.recovery.restore_folders import Unpacked, settle
from harness.recovery.write_files import into_bucket, into_volume
from harness.s3.client import ensure_bucket
from harness.s3.objects import Bucket
from harness.substrate.common.folder_volume import FolderVolume
from harness.substrate.embedded.substrate import Embedded
from tests.cases.estate import SITES, CaseServers, empty

BACKUP, BUCKET = "20260301T020304.000567Z-0123456789", "media"
NOBODY = 65534
NOWHERE = Address("127.0.0.1", 9)


@dataclass
class Pair:
    """Two places with volumes and stores, and without database servers."""

    primary: Place
    dr: Place
    corrected: list[tuple[str, str]] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    def put(
        self, key: str, data: bytes, headers: Mapping[str, str] | None = None, tags: Mapping[str, str] | None = None
    ) -> None:
        bucket(self.primary).put(key, io.BytesIO(data), len(data), headers or {}, tags or {})

    def replicate(
        self, key: str, data: bytes, headers: Mapping[str, str] | None = None, tags: Mapping[str, str] | None = None
    ) -> None:
        """Put on DR what replication brought."""
        ensure_bucket(self.dr.s3, BUCKET)
        bucket(self.dr).put(key, io.BytesIO(data), len(data), headers or {}, tags or {})

    def carry(self, referenced: list[str] | None = None) -> TreeFacts:
        """Back the bucket up, and restore it."""
        archive = pack_objects(self.primary, Objects(BUCKET), referenced)
        chunks = list(archive.chunks())
        write = self.writer()
        unpack(archive.name, iter(chunks), archive.facts, write)
        return archive.facts

    def writer(self) -> Write:
        """Return what writes an object into DR's bucket."""

        def refuse(_: str, key: str, why: str) -> None:
            self.refused[key] = why

        return into_bucket(self.dr, Objects(BUCKET), BACKUP, lambda _, *what: self.corrected.append(what), refuse)

    def carry_tree(self, tree: Tree) -> TreeFacts:
        archive = pack_tree(self.primary, tree, None)
        chunks = list(archive.chunks())
        inventory = unpack(archive.name, iter(chunks), archive.facts, into_volume(self.dr, tree))
        settle(self.dr, [Unpacked(tree, archive.facts, inventory)])
        return archive.facts

    def root(self, volume: str, place: Place | None = None) -> Path:
        return cast("FolderVolume", (place or self.primary).site.volume(volume)).root


def bucket(place: Place) -> Bucket:
    return Bucket(place.s3, BUCKET)


def stored(place: Place, key: str) -> tuple[bytes, dict[str, str], dict[str, str]]:
    """Return content, headers and tags of an object."""
    with bucket(place).open(key) as found:
        data = b"".join(iter(lambda: found.read(1 << 20), b""))
        return data, dict(found.headers), dict(found.tags)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Let this thread, and those that it starts, use files as a user who is not root; nothing where it is none."""
    libc = ctypes.CDLL(None)
    if os.getuid():
        yield
        return
    libc.setfsgid(NOBODY)
    libc.setfsuid(NOBODY)
    try:
        yield
    finally:
        libc.setfsuid(0)
        libc.setfsgid(0)


@pytest.fixture
def pair(case_home: CaseServers, tmp_path: Path) -> Iterator[Pair]:
    substrate = Embedded(tmp_path / "run", tmp_path / "logs")
    places: list[Place] = []
    for name in SITES:
        empty(case_home.stores[name])
        sql = Sql(NOWHERE, NOWHERE, "nobody", "")
        places.append(Place(substrate.site(name), sql, cast("S3", case_home.stores[name].s3), {}))
    ensure_bucket(places[0].s3, BUCKET)
    yield Pair(places[0], places[1])
    substrate.sweep()
