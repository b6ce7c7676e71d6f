from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from harness.core.errors import Unreadable
from harness.repository.format.manifest import (
    Manifest,
    ObjectEntry,
    WrappedKey,
    canonical,
    commit_of,
    manifest_hmac,
    read_commit,
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
    recipients=(WrappedKey("ef" * 16, bytes(range(80))), WrappedKey("01" * 16, bytes(80))),
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
    assert json.loads(text)["format"] == "blackstart-backup/1"


def test_sizes_are_summed_and_entries_are_found_by_path() -> None:
    assert (MANIFEST.size, MANIFEST.plain_size) == (135, 10)
    assert MANIFEST.entry("trees/ü.tar").plain_sha256 == "cd" * 32
    with pytest.raises(Unreadable, match=r"has no globals\.sql; it has databases/shop\.dump, trees/ü\.tar"):
        MANIFEST.entry("globals.sql")


def test_commit_round_trips_and_depends_on_the_manifest_and_the_key() -> None:
    text = MANIFEST.to_json()
    commit = commit_of(MANIFEST.backup_id, text, DEK)
    assert read_commit(commit.to_json()) == commit
    assert commit.manifest_hmac == manifest_hmac(text, DEK)
    assert commit.manifest_hmac != manifest_hmac(text, bytes(32))
    assert commit.manifest_hmac != manifest_hmac(text[:-1], DEK)
    assert json.loads(commit.to_json())["signatures"] == []


@pytest.mark.parametrize(
    ("name", "words"),
    [("blackstart-backup/2", "newer than blackstart-backup/1; read it with a newer"), ("tar/1", "'tar/1' is not")],
)
def test_another_format_is_refused_with_its_name(name: str, words: str) -> None:
    for text, read in ((MANIFEST.to_json(), read_manifest), (commit_of("x", b"", DEK).to_json(), read_commit)):
        with pytest.raises(Unreadable, match=words):
            read(canonical({**json.loads(text), "format": name}))


def without(key: str) -> bytes:
    data = json.loads(MANIFEST.to_json())
    del data[key]
    return canonical(data)


def changed(**values: object) -> bytes:
    return canonical({**json.loads(MANIFEST.to_json()), **values})


@pytest.mark.parametrize(
    "text",
    [
        b"", b"\xff", b"[]", b"null", b"{}", MANIFEST.to_json()[:-20], b"[" * 200_000,
        without("objects"), without("contents"), without("format"),
        changed(objects=[{"path": "x"}]), changed(objects=[{"path": "x", "surprise": 1}]), changed(objects=7),
        changed(recipients=[{"fingerprint": "x", "wrapped": "not base64"}]), changed(started="yesterday"),
        changed(contents=None), changed(versions=["x"]),
    ],
)  # fmt: skip
def test_a_malformed_manifest_is_refused_in_one_line(text: bytes) -> None:
    with pytest.raises(Unreadable, match="manifest: malformed") as caught:
        read_manifest(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"\xff", commit_of("x", b"", DEK).to_json()[:-9]])
def test_a_malformed_commit_is_refused_in_one_line(text: bytes) -> None:
    with pytest.raises(Unreadable, match="COMMIT: malformed"):
        read_commit(text)


def test_canonical_json_does_not_depend_on_insertion_order() -> None:
    again = replace(MANIFEST, estate="shop")
    assert canonical({"b": 1, "a": {"d": 1, "c": 2}}) == b'{"a":{"c":2,"d":1},"b":1}\n'
    assert again.to_json() == MANIFEST.to_json()
