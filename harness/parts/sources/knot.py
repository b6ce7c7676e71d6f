"""Knot DNS, from Debian packages or from PATH."""

import platform
import shutil
from pathlib import Path

from harness.core.errors import MissingPart
from harness.parts.cache import folder_of
from harness.parts.command import run
from harness.parts.sources.apt import download, has_apt, open_root, unpack, version_of, would_install
from harness.parts.table import Part
from harness.patience import PATIENCE

_RECIPE = "1"  # increment when the steps below change the content of the folder


def knot_folder(part: Part) -> Path:
    """Return the folder of this part in the cache, which may not exist."""
    return folder_of(part.name, _RECIPE, platform.machine(), platform.freedesktop_os_release().get("VERSION_ID", ""))


def build_knot(part: Part, folder: Path) -> str:
    """Fill `folder` with knotd, or a link to the one on PATH; return the version. Raises MissingPart, HarnessError."""
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
        raise MissingPart("knot: neither apt-get nor knotd found; install Knot DNS with the system's package manager")
    (folder / "usr/sbin").mkdir(parents=True)
    (folder / "usr/sbin/knotd").symlink_to(found)
    (folder / "usr/lib/none-linux-gnu").mkdir(parents=True)  # the system finds its libraries
    return run([found, "--version"], patience=PATIENCE.program_version).strip()
