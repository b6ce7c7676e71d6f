"""Build context of an image: a tar archive, written from the files in place."""

import io
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from docker.errors import BuildError

from harness.core.errors import HarnessError
from harness.images.engine import engine, explained, reason
from harness.parts.places import CODE

# The folders of the project that are in no image: a cluster backs up, restores and tests, and nothing there strikes or
# injects a fault.
DRILLS_ALONE = ("harness/drill/", "harness/scenario/", "harness/bundle/")
ROOT = "root"  # the folder of the archive that is the image's root
EXECUTABLE = 0o755
_LAST_LINES = 6
_UNWANTED = frozenset({"__pycache__", "direct_url.json"})  # the second names a folder of this machine


@dataclass(frozen=True, slots=True)
class Context:
    """A tar archive being written; everything in it is owned by root and readable by all."""

    archive: tarfile.TarFile

    def text(self, path: str, text: str, mode: int = 0o644) -> None:
        """Add a file that holds `text`."""
        data = text.encode()
        entry = tarfile.TarInfo(path)
        entry.size, entry.mode = len(data), mode
        self.archive.addfile(entry, io.BytesIO(data))

    def program(self, path: str, source: Path) -> None:
        """Add an executable file; of a symbolic link, its target."""
        entry = self.archive.gettarinfo(str(source.resolve()), f"{ROOT}{path}")
        entry.mode = EXECUTABLE
        with source.open("rb") as file:
            self.archive.addfile(_of_root(entry), file)

    def link(self, path: str, target: str) -> None:
        """Add a symbolic link."""
        entry = tarfile.TarInfo(f"{ROOT}{path}")
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        self.archive.addfile(entry)

    def tree(self, path: str, source: Path, *, without: frozenset[str] = frozenset(), bytecode: bool = False) -> None:
        """Add a folder and its content, except files and folders named in `without`."""
        unwanted = (_UNWANTED - {"__pycache__"} if bytecode else _UNWANTED) | without

        def keep(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
            return None if entry.name.rsplit("/", 1)[-1] in unwanted else _of_root(entry)

        self.archive.add(source, f"{ROOT}{path}", filter=keep)

    def project(self, path: str, *packages: str) -> None:
        """Add packages of the project to a folder, without what only drills need."""
        for name in project_files(*packages):
            self.archive.add(CODE / name, f"{ROOT}{path}/{name}", filter=_of_root)


def project_files(*packages: str) -> tuple[str, ...]:
    """Return the files of packages of the project that an image may hold: paths below CODE, sorted."""
    found = (path for package in packages for path in (CODE / package).rglob("*") if path.is_file())
    names = sorted(path.relative_to(CODE).as_posix() for path in found if path.parent.name != "__pycache__")
    return tuple(name for name in names if not name.startswith(DRILLS_ALONE))


@contextmanager
def new_context() -> Iterator[tuple[Context, IO[bytes]]]:
    """Yield an empty context and the temporary file that it is written to."""
    with tempfile.TemporaryFile(prefix="blackstart-image-") as file, tarfile.open(fileobj=file, mode="w") as archive:
        yield Context(archive), file


def build(context: Context, file: IO[bytes], tag: str, arguments: dict[str, str] | None = None) -> None:
    """Close the context and build the image `tag` from it. Raises HarnessError with the last lines of the build."""
    with explained(f"image {tag}: not built"):
        context.archive.close()
        file.seek(0)
        try:
            engine().images.build(
                fileobj=file, custom_context=True, tag=tag, rm=True, forcerm=True, buildargs=arguments or {}
            )
        except BuildError as error:
            lines = [str(entry.get("stream", "")) for entry in error.build_log if isinstance(entry, dict)]
            said = " | ".join([" ".join(line.split()) for line in lines if line.strip()][-_LAST_LINES:])
            raise HarnessError(f"image {tag}: not built: {reason(error)}: {said}") from error


def _of_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode |= 0o444 | (0o111 if entry.isdir() or entry.mode & 0o100 else 0)
    return entry
