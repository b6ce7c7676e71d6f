"""MinIO, which is published as source code only: built from its Go module, once."""

import platform
import shutil
import tempfile
from pathlib import Path

from harness.core.errors import MissingPart
from harness.parts.cache import folder_of, obtain
from harness.parts.command import environment, run
from harness.patience import PATIENCE

MODULE = "github.com/minio/minio"
VERSION = "v0.0.0-20260212201848-7aac2a2c5b7c"  # a commit, because the module has no version tags


def minio_folder() -> Path:
    """Return the folder of MinIO in the cache, which may not exist."""
    return folder_of("minio", MODULE, VERSION, platform.machine())


def minio_program() -> Path:
    """Return the program, after building it if missing. Raises MissingPart without Go, HarnessError."""
    obtain(minio_folder(), _build)
    return minio_folder() / "bin/minio"


def go() -> str:
    """Return the path of the go command; raises MissingPart without one."""
    found = shutil.which("go")
    if found is None:
        raise MissingPart("go: not found, needed to build MinIO and kind; install Go 1.24 or newer")
    return found


def _build(folder: Path) -> str:
    with tempfile.TemporaryDirectory(prefix="blackstart-go-") as work:
        run(
            [go(), "install", "-trimpath", "-ldflags", "-s -w", f"{MODULE}@{VERSION}"],
            cwd=Path(work), env=environment(CGO_ENABLED="0", GOBIN=f"{work}/bin", GOFLAGS=""),
            patience=PATIENCE.image_minio,
        )  # fmt: skip
        (folder / "bin").mkdir()
        shutil.copy2(Path(work) / "bin/minio", folder / "bin/minio")
    return VERSION
