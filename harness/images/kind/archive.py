"""Writes an OCI archive of single-layer images: `archive.py OUT LEVEL NAME=FOLDER [NAME=FOLDER ...]`.

A folder's file .config, if there is one, is the image's config (JSON: Entrypoint, Env ...), and no part of the layer.
Runs by itself, with the standard library alone.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_TAR = ("--exclude=./.config", "--numeric-owner", "--owner=0", "--group=0", "--sort=name", "--mtime=@0")


@dataclass(frozen=True, slots=True)
class Archive:
    """The archive that is being written; `level` is zstd's."""

    file: tarfile.TarFile
    level: int

    def add(self, name: str, data: bytes) -> None:
        """Add one file."""
        info = tarfile.TarInfo(name)
        info.size = len(data)
        self.file.addfile(info, io.BytesIO(data))

    def blob(self, data: bytes, media_type: str) -> dict[str, object]:
        """Add a file under its digest, and return the descriptor that names it."""
        digest = hashlib.sha256(data).hexdigest()
        self.add(f"blobs/sha256/{digest}", data)
        return {"mediaType": f"application/vnd.oci.image.{media_type}", "digest": f"sha256:{digest}", "size": len(data)}

    def image(self, name: str, folder: Path) -> dict[str, object]:
        """Add the image `name` of what is in `folder`, and return its descriptor. Raises CalledProcessError."""
        layer = _said(["tar", "-C", str(folder), *_TAR, "-c", "."], b"")
        packed = _said(["zstd", "-q", f"-{self.level}", "-T0"], layer)
        own = folder / ".config"
        config = {
            "architecture": _MACHINES[platform.machine()],
            "os": "linux",
            "config": json.loads(own.read_text()) if own.exists() else {},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": self.blob(json.dumps(config).encode(), "config.v1+json"),
            "layers": [self.blob(packed, "layer.v1.tar+zstd")],
        }
        described = self.blob(json.dumps(manifest).encode(), "manifest.v1+json")
        return {**described, "annotations": {"io.containerd.image.name": name}}


def _said(argv: list[str], given: bytes) -> bytes:
    return subprocess.run(argv, input=given, check=True, stdout=subprocess.PIPE).stdout


def main(out: str, level: str, *images: str) -> None:
    """Write the archive `out`."""
    with tarfile.open(out, "w") as file:
        archive = Archive(file, int(level))
        manifests = [archive.image(name, Path(folder)) for name, folder in (image.split("=", 1) for image in images)]
        archive.add("index.json", json.dumps({"schemaVersion": 2, "manifests": manifests}).encode())
        archive.add("oci-layout", b'{"imageLayoutVersion": "1.0.0"}')


if __name__ == "__main__":
    main(*sys.argv[1:])
