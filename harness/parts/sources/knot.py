"""Knot, the name server: Debian packages unpacked into a folder of our own, or the one on PATH."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

from harness.core.errors import MissingPart
from harness.parts.cache import folder_of
from harness.parts.command import run
from harness.parts.sources.apt import download, has_apt, open_root, unpack, version_of, would_install
from harness.parts.table import Part
from harness.patience import PATIENCE

_RECIPE = "1"  # raised when the steps below change what the folder holds


def knot_folder(part: Part) -> Path:
    """Return where the cache keeps this part, be it there or not."""
    return folder_of(part.name, _RECIPE, platform.machine(), platform.freedesktop_os_release().get("VERSION_ID", ""))


def build_knot(part: Part, folder: Path) -> str:
    """Fill `folder` with knotd and the libraries this machine lacks; returns the version.

    Where there is no apt-get, a link to the knotd on PATH takes its place. Raises MissingPart with neither.
    """
    if not has_apt():
        return _from_path(folder)
    work = folder / ".work"
    root = open_root(work)
    files = download(root, work / "debs", *would_install(root, part.package))
    for deb in files:
        unpack(deb, folder)
    version = version_of(files[0])
    shutil.rmtree(work)
    return version


def _from_path(folder: Path) -> str:
    found = shutil.which("knotd")
    if found is None:
        raise MissingPart("knot: neither apt-get nor knotd on this machine; install Knot DNS with its package manager")
    (folder / "usr/sbin").mkdir(parents=True)
    (folder / "usr/sbin/knotd").symlink_to(found)
    (folder / "usr/lib/none-linux-gnu").mkdir(parents=True)  # its libraries are where the system looks for them
    return run([found, "--version"], patience=PATIENCE.program_version).strip()
