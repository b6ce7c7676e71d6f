"""The manifests of `deploy/`, as kustomize renders them: the same ones that users apply to their clusters."""

from __future__ import annotations

import copy
import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml

from harness.core.errors import HarnessError, MissingPart
from harness.kubernetes.objects import NAME, Manifest
from harness.parts.places import FILES
from harness.patience import PATIENCE

FOLDER = FILES / "deploy"
WORKLOADS = ("Deployment", "StatefulSet")


@dataclass(frozen=True, slots=True)
class Manifests:
    """All objects of an overlay."""

    every: tuple[Manifest, ...]

    def of(self, node: str) -> tuple[Manifest, ...]:
        """Return copies of the objects that belong to a node, its volumes first; none where it is not known."""
        found = [one for one in self.every if one["metadata"].get("labels", {}).get(NAME) == node]
        return tuple(copy.deepcopy(sorted(found, key=lambda one: one["kind"] != "PersistentVolumeClaim")))

    def claim(self, name: str) -> Manifest | None:
        """Return a copy of the claim of a volume, None where it is not known."""
        for one in self.every:
            if one["kind"] == "PersistentVolumeClaim" and one["metadata"]["name"] == name:
                return copy.deepcopy(one)
        return None


def rendered(kubectl: Path, overlay: Path) -> Manifests:
    """Return what an overlay renders to. Raises MissingPart when it is not there, HarnessError."""
    if not (overlay / "kustomization.yaml").is_file():
        raise MissingPart(f"{overlay}: no manifests there; install blackstart again")
    try:
        done = subprocess.run(
            [str(kubectl), "kustomize", str(overlay)],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE.kubectl,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise MissingPart(f"{kubectl}: cannot be run ({error}); `make images` builds kubectl") from None
    if done.returncode:
        raise HarnessError(f"{overlay}: cannot be rendered: {' '.join(done.stderr.split())}")
    return Manifests(tuple(yaml.safe_load_all(done.stdout)))
