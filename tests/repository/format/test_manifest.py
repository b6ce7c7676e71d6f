from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from harness.core.errors import Unreadable
from harness.repository.format.manifest import (
    Manifest,
    ObjectEntry,
    canonical,
    read_manifest,
)
from tests.repository.store_servers import contents

DEK = bytes(range(32))
MANIFEST = Manifest(
    estate="shop",
    cluster="7391",
    backup_id="20260301T020304.000567Z-0123456789",
    contents=contents(),
    objects=(ObjectEntry("databases/shop.dump", 10, 66, "ab" * 32), ObjectEntry("trees/ü.tar", 0, 69, "cd" * 32)),
    started=datetime(2026, 3, 1, 2, 3, 4, 567, UTC),
    finished=datetime(2026, 3, 1, 2, 4, tzinfo=UTC),
    versions=(("blackstart", "0.1.0"),),
)


def test_a_manifest_round_trips() -> None:
    text = MANIFEST.to_json()
    assert read_manifest(text) == MANIFEST
    assert read_manifest(text).to_json() == text
    assert text.count(b"\n") == 1
    assert text.endswith(b"}\n")
    assert json.loads(text)["format"] == "blackstart-backup/2"


def test_sizes_are_summed_and_entries_are_found_by_path() -> None:
    assert (MANIFEST.size, MANIFEST.plain_size) == (135, 10)
    assert MANIFEST.entry("trees/ü.tar").plain_sha256 == "cd" * 32
    with pytest.raises(Unreadable, match=r"has no globals\.sql; it has databases/shop\.dump, trees/ü\.tar"):
        MANIFEST.entry("globals.sql")


def without(key: str) -> bytes:
    data = json.loads(MANIFEST.to_json())
    del data[key]
    return canonical(data)


def changed(**values: object) -> bytes:
    return json.dumps({**json.loads(MANIFEST.to_json()), **values}).encode()


@pytest.mark.parametrize(
    "text",
    [
        b"", b"\xff", b"[]", b"null", b"{}", MANIFEST.to_json()[:-20], b"[" * 200_000,
        without("objects"), without("contents"), without("cluster"),
        changed(objects=[{"path": "x"}]), changed(objects=7), changed(estate=7), changed(estate="\ud800"),
        changed(started="yesterday"), changed(started=0), changed(contents=None), changed(versions=["x"]),
    ],
)  # fmt: skip
def test_a_malformed_manifest_is_refused_in_one_line(text: bytes) -> None:
    with pytest.raises(Unreadable, match="manifest: malformed") as caught:
        read_manifest(text)
    assert "\n" not in str(caught.value)


def test_canonical_json_does_not_depend_on_insertion_order() -> None:
    again = replace(MANIFEST, estate="shop")
    assert canonical({"b": 1, "a": {"d": 1, "c": 2}}) == b'{"a":{"c":2,"d":1},"b":1}\n'
    assert again.to_json() == MANIFEST.to_json()
