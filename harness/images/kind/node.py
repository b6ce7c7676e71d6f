"""Build of kind's node image: Kubernetes, etcd, CoreDNS and kind from Go modules, the rest from Debian."""

import hashlib
import os
import platform
import shutil
import tempfile
from pathlib import Path

from harness.core.errors import HarnessError, MissingPart
from harness.images.build.minio import go
from harness.images.engine import require_room
from harness.images.storage import load
from harness.parts.cache import folder_of, obtain
from harness.parts.command import environment, run
from harness.patience import PATIENCE

NAME = "kind-node"
PROGRAMS = ("kind", "kubectl")  # kept in the cache for the drill itself
ROOM = 8 << 30  # bytes, mostly for Go's caches
_HERE = Path(__file__).parent
_FILES = (
    "archive.py", "bake-node-image.sh", "build-binaries.sh", "cni/10-pods.conflist", "cni/pod-network.service",
    "go.mod", "go.sum", "pause.c",
)  # fmt: skip
_NEEDED = (("mmdebstrap", "mmdebstrap"), ("gcc", "gcc libc6-dev"), ("zstd", "zstd"), ("unshare", "util-linux"))


def key() -> str:
    """Return the content key of the node image: 12 hex digits of a digest of its build files."""
    digest = hashlib.sha256(platform.machine().encode())
    for name in _FILES:
        digest.update(name.encode() + b"\0" + (_HERE / name).read_bytes())
    return digest.hexdigest()[:12]


def programs_folder() -> Path:
    """Return the folder of kind and kubectl in the cache, which may not exist."""
    return folder_of("kind", (_HERE / "go.mod").read_text(encoding="utf-8"), platform.machine())


def kind_program() -> Path:
    """Return the path of kind: built with the node image, else on PATH. Raises MissingPart."""
    return _find_program("kind")


def kubectl_program() -> Path:
    """Return the path of kubectl: built with the node image, else on PATH. Raises MissingPart."""
    return _find_program("kubectl")


def _find_program(name: str) -> Path:
    ours = programs_folder() / "bin" / name
    if ours.is_file():
        return ours
    found = shutil.which(name)
    if found is None:
        raise MissingPart(f"{name}: neither in the cache nor on PATH; run `make images`, or install {name}")
    return Path(found)


def bake(reference: str, archive: Path) -> None:
    """Build the programs and the image, keep its archive, kind and kubectl in the cache, and load it as `reference`.

    Takes six minutes with empty caches. Raises MissingPart for a missing tool, HarnessError with a tool's message.
    """
    _require()
    require_room(ROOM)
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="blackstart-kind-") as folder:
        work = Path(folder) / "work"  # Go ignores a go.mod in the temporary folder itself
        for name in _FILES:
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(_HERE / name, work / name)
        env = environment(NODE_IMAGE=reference, TMPDIR=folder)
        run(["bash", "build-binaries.sh"], cwd=work, env=env, patience=PATIENCE.image_node)
        obtain(programs_folder(), lambda empty: _keep(work / "bin", empty))
        run(["bash", "bake-node-image.sh"], cwd=work, env=env, patience=PATIENCE.image_node)
        partial = archive.with_name(f".{archive.name}.{os.getpid()}.partial")
        try:
            shutil.move(work / "build/node.tar", partial)
            partial.rename(archive)
        finally:
            partial.unlink(missing_ok=True)
    if not load(archive, reference):
        raise HarnessError(f"image {reference}: baked, but {archive} is incomplete; run `make images` again")


def _keep(built: Path, folder: Path) -> str:
    (folder / "bin").mkdir()
    for name in PROGRAMS:
        shutil.copy2(built / name, folder / "bin" / name)
    return run([str(folder / "bin/kind"), "version", "-q"], patience=PATIENCE.program_version).strip()


def _require() -> None:
    go()
    lacking = [package for program, package in _NEEDED if shutil.which(program) is None]
    if lacking:
        raise MissingPart(f"image {NAME}: missing tools: `apt-get install {' '.join(lacking)}`")
    if os.geteuid() != 0:
        raise MissingPart(f"image {NAME}: baking needs root: run `make images` as root once, or pull kindest/node")
