"""Parsing of npm lock files, and unpacking of verified tarballs."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from harness.core.errors import HarnessError
from harness.parts.sources.npm import Package, read_lock, unpack

DIGEST = base64.b64encode(bytes(64)).decode()


def lock(**entries: dict[str, object]) -> str:
    filled = {f"node_modules/{name}": {"version": "1.0.0", "integrity": f"sha512-{DIGEST}"} | entry
              for name, entry in entries.items()}  # fmt: skip
    return json.dumps({"packages": {"": {"name": "root"}, **filled}})


def specs(text: str) -> list[str]:
    return [package.spec for package in read_lock(text, system="linux", machine="x64")]


def test_only_packages_for_this_machine_are_selected() -> None:
    text = lock(
        plain={}, ours={"os": ["linux"], "cpu": ["x64"], "libc": ["glibc"]},
        mac={"os": ["darwin"]}, arm={"cpu": ["arm64"]},
        musl={"libc": ["musl"]}, not_windows={"os": ["!win32"]}, not_linux={"os": ["!linux"]}, dev={"dev": True},
        bundled={"inBundle": True}, linked={"link": True},
    )  # fmt: skip
    assert specs(text) == ["plain@1.0.0", "ours@1.0.0", "not_windows@1.0.0"]


def test_an_alias_is_downloaded_by_its_real_name() -> None:
    text = json.dumps({"packages": {"node_modules/a/node_modules/@s/b": {
        "name": "empty", "version": "2.0.0", "integrity": f"sha512-{DIGEST}",
    }}})  # fmt: skip
    assert read_lock(text, system="linux", machine="x64") == (
        Package("node_modules/a/node_modules/@s/b", "empty@2.0.0", "00" * 64),
    )


def test_a_package_without_a_sha512_is_refused() -> None:
    with pytest.raises(HarnessError, match=r"^old: .*sha512"):
        read_lock(lock(old={"integrity": "sha1-x"}), system="linux", machine="x64")


def put(cache: Path, *names: str) -> str:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 2
            member.mode = 0o644
            archive.addfile(member, io.BytesIO(b"hi"))
    digest = hashlib.sha512(packed.getvalue()).hexdigest()
    tarball = cache / "_cacache/content-v2/sha512" / digest[:2] / digest[2:4] / digest[4:]
    tarball.parent.mkdir(parents=True)
    tarball.write_bytes(packed.getvalue())
    return digest


def test_unpacking_leaves_out_unused_files(tmp_path: Path) -> None:
    digest = put(
        tmp_path,
        "package/index.js",
        "package/lib/a.js.map",
        "package/lib/a.d.ts",
        "package/lib/a.js",
        "package/README.md",
    )
    unpack(Package("node_modules/a", "a@1", digest), tmp_path, tmp_path / "root")
    found = {str(path.relative_to(tmp_path / "root")) for path in (tmp_path / "root").rglob("*") if path.is_file()}
    assert found == {"node_modules/a/index.js", "node_modules/a/lib/a.js"}


def test_a_changed_or_missing_tarball_is_refused(tmp_path: Path) -> None:
    digest = put(tmp_path, "package/index.js")
    tarball = tmp_path / "_cacache/content-v2/sha512" / digest[:2] / digest[2:4] / digest[4:]
    tarball.write_bytes(tarball.read_bytes() + b"x")
    for wanted in (digest, "ab" * 64):
        with pytest.raises(HarnessError, match=r"^a@1: .*not the one in the lock file"):
            unpack(Package("node_modules/a", "a@1", wanted), tmp_path, tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_a_tarball_cannot_write_outside_its_folder(tmp_path: Path) -> None:
    digest = put(tmp_path, "package/../../../escaped")
    with pytest.raises(HarnessError, match="tar"):
        unpack(Package("node_modules/a", "a@1", digest), tmp_path, tmp_path / "root")
    assert not list(tmp_path.rglob("escaped"))
