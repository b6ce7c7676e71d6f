"""Odoo 19 from the Debian package, reduced to the modules of a shop, with the JavaScript libraries it links to."""

import platform
import shutil
import sys
from pathlib import Path

from harness.core.errors import HarnessError
from harness.parts.cache import folder_of
from harness.parts.command import environment, pipe, run
from harness.parts.sources.apt import download, open_root, unpack, version_of
from harness.parts.sources.odoo_modules import closure, imported, read_manifests
from harness.parts.table import Part
from harness.patience import PATIENCE

SHOP = frozenset({"sale_management"})
COUNTRY = "us"  # of the company in Odoo's demo data, whose chart of accounts is installed automatically
_RECIPE = "4"  # increment when the steps below change the content of the folder
_DIST = "usr/lib/python3/dist-packages"
_LINKED = ("libjs-jquery", "libjs-jquery-form", "libjs-underscore")
_UNREAD = ("*/addons/*/i18n/*", "*/addons/*/tests/*", "*/addons/*/static/tests/*", "*/usr/share/doc/*")
_LEFT_OUT_BY_DEBIAN = "mail/static/lib/selfie_segmentation/selfie_segmentation.js"  # the back end's bundle has it


def odoo_folder(part: Part) -> Path:
    """Return the folder of this part in the cache; it contains bytecode of this version of Python."""
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return folder_of(part.name, part.package, _RECIPE, python, platform.machine(), *sorted(SHOP))


def build_odoo(part: Part, folder: Path) -> str:
    """Fill `folder` with the reduced Odoo; return its version in Debian unstable. Raises MissingPart, HarnessError."""
    work = folder / ".work"
    root = open_root(work, suite="sid")
    package, *linked = download(root, work / "debs", part.package, *_LINKED)
    version = version_of(package)
    left_out = [word for pattern in _UNREAD for word in ("--exclude", pattern)]
    pipe(
        ["dpkg-deb", "--fsys-tarfile", str(package)],
        ["tar", "--extract", "--no-same-owner", "--directory", str(folder), *left_out], patience=PATIENCE.part_install,
    )  # fmt: skip
    for deb in linked:
        unpack(deb, folder)
    shutil.rmtree(work)
    _slim(folder / _DIST / "odoo/addons")
    (folder / _DIST / "odoo/addons" / _LEFT_OUT_BY_DEBIAN).parent.mkdir(parents=True, exist_ok=True)
    (folder / _DIST / "odoo/addons" / _LEFT_OUT_BY_DEBIAN).touch()
    _compile(folder)
    return version


def _slim(addons: Path) -> None:
    """Empty the modules that the shop does not install, but for what the others read of them."""
    manifests = read_manifests(addons)
    kept = closure(manifests, SHOP, country=COUNTRY)
    code = imported(addons, kept)
    for module in (addons / manifest.name for manifest in manifests):
        if module.name in kept:
            continue
        for inside in sorted(module.rglob("*"), reverse=True):  # files before their folder
            if inside.is_dir() and not inside.is_symlink():
                if not any(inside.iterdir()):
                    inside.rmdir()
            elif not _read_by_others(inside.relative_to(module), imported=module.name in code):
                inside.unlink()
        if module.name not in code:
            # `account` imports the charts of all countries and expects ModuleNotFoundError for a missing one; an
            # __init__.py that imports removed modules would raise ImportError instead.
            (module / "__init__.py").touch()


def _read_by_others(path: Path, *, imported: bool) -> bool:
    """Return whether a file of a removed module is still used: manifests by the list of modules, icons by payment."""
    icon = path.parts[:2] == ("static", "description")
    return icon or path.parts == ("__manifest__.py",) or (imported and path.suffix == ".py")


def _compile(folder: Path) -> None:
    """Write bytecode, to save a second at the first start. Single files may fail to compile."""
    command = [sys.executable, "-m", "compileall", "-q", "-j", "2", "--invalidation-mode", "unchecked-hash"]
    try:
        run([*command, str(folder / _DIST / "odoo")], env=environment(), patience=PATIENCE.part_install)
    except HarnessError as error:
        if not any((folder / _DIST / "odoo").rglob("*.pyc")):
            raise HarnessError(f"odoo: not compiled: {error}") from error
