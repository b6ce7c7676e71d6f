"""The Debian base image of baked images, and additional Debian packages for single images."""

import platform
import shutil
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path

from harness.core.errors import HarnessError, MissingPart
from harness.images.engine import engine, explained
from harness.parts.command import environment, run
from harness.parts.sources.apt import AptRoot, download, open_root, unpack, would_install
from harness.patience import PATIENCE

SUITE = "bookworm"
PACKAGES = ("python3", "ca-certificates", "tzdata", "usr-is-merged")  # the last one replaces usrmerge, which needs Perl
READER = "blackstart.reader"  # label of a container that exists only to read a file from it
STATUS = "var/lib/dpkg/status"
_UNREAD = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")
_USER = "blackstart:x:1000:1000::/tmp:/bin/sh"
_SCRIPT = (
    'DEBIAN_FRONTEND=noninteractive chroot "$1" apt-get -qq -y purge --autoremove '
    "usrmerge perl 'perl-modules-5*' 'libperl5*' && "
    f'echo "{_USER}" >> "$1/etc/passwd"; echo "blackstart:x:1000:" >> "$1/etc/group"; '
    'mkdir "$1/volumes" "$1/files"; rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* "$1"/var/log/*'
)
INGREDIENTS = ("1", SUITE, *PACKAGES, *_UNREAD, _SCRIPT, platform.machine())


def build_base(tag: str) -> str:
    """Build the base image as `tag`; return the version of Debian. Raises MissingPart, HarnessError."""
    if shutil.which("mmdebstrap") is None:
        raise MissingPart("image base: mmdebstrap not found; `apt-get install mmdebstrap`")
    with tempfile.TemporaryDirectory(prefix="blackstart-base-") as folder:
        work = Path(folder)
        open_root(work / "apt", suite=SUITE)
        excluded = [f"--dpkgopt=path-exclude={pattern}" for pattern in _UNREAD]
        run(
            ["mmdebstrap", "--quiet", "--variant=minbase", "--skip=output/dev", f"--include={','.join(PACKAGES)}",
             *excluded, f"--customize-hook={_SCRIPT}", SUITE, str(work / "base.tar"), str(work / "apt/sources.list")],
            env=environment(LC_ALL="C", TMPDIR=folder), patience=PATIENCE.image_base,
        )  # fmt: skip
        with tarfile.open(work / "base.tar") as archive:
            version = _member(archive, "./etc/debian_version").strip()
        changes = ["ENV LANG=C.UTF-8", f"LABEL org.opencontainers.image.version={version}"]
        repository, _, name = tag.rpartition(":")
        with explained(f"image {tag}: not imported"):
            engine().api.import_image(src=str(work / "base.tar"), repository=repository, tag=name, changes=changes)
    return version


def add_packages(base: str, into: Path, *packages: str, alone: bool = False) -> str:
    """Unpack Debian packages into a folder, with their dependencies that the image `base` lacks, unless `alone`.

    Return the version of the first package. Raises HarnessError with apt's message.
    """
    with tempfile.TemporaryDirectory(prefix="blackstart-debs-") as folder:
        root = open_root(Path(folder) / "apt", suite=SUITE)
        (root.folder / "status").write_bytes(_file_in(base, STATUS))
        wanted = packages if alone else _all_needed(root, packages)
        files = download(root, root.folder / "debs", *wanted)
        for deb in files:
            unpack(deb, into)
        return run(["dpkg-deb", "--field", str(files[0]), "Version"], patience=PATIENCE.image_base).strip()


def _all_needed(root: AptRoot, packages: tuple[str, ...]) -> tuple[str, ...]:
    needed = [name for package in packages for name in would_install(root, package)]
    return tuple(dict.fromkeys([*packages, *needed]))


def _file_in(image: str, path: str) -> bytes:
    """Return the content of a file in an image. Raises HarnessError with the engine's message."""
    with explained(f"image {image}: its /{path} cannot be read"):
        engine().containers.prune(filters={"label": READER, "until": "1h"})  # left by a killed build
        container = engine().containers.create(image, ["true"], labels={READER: path})
        try:
            pieces, _ = container.get_archive(f"/{path}")
            with tarfile.open(fileobj=BytesIO(b"".join(pieces))) as archive:
                return _member(archive, Path(path).name).encode()
        finally:
            container.remove()


def _member(archive: tarfile.TarFile, name: str) -> str:
    file = archive.extractfile(name)
    if file is None:
        raise HarnessError(f"{name}: not a file in the archive")
    with file:
        return file.read().decode("utf-8", "replace")
