"""Manifests of `deploy/`, rendered by kustomize: the ones that users apply to their own clusters."""

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
    """All manifests of an overlay."""

    every: tuple[Manifest, ...]

    def of(self, node: str) -> tuple[Manifest, ...]:
        """Return copies of the manifests of a node, its claims first; none where the overlay has none."""
        found = [one for one in self.every if one["metadata"].get("labels", {}).get(NAME) == node]
        return tuple(copy.deepcopy(sorted(found, key=lambda one: one["kind"] != "PersistentVolumeClaim")))

    def claim(self, name: str) -> Manifest | None:
        """Return a copy of the claim of a volume, None where the overlay has none."""
        for one in self.every:
            if one["kind"] == "PersistentVolumeClaim" and one["metadata"]["name"] == name:
                return copy.deepcopy(one)
        return None


def scaled_down(manifest: Manifest) -> Manifest:
    """Return a manifest with 0 replicas, where it is one of a workload."""
    if manifest["kind"] not in WORKLOADS:
        return manifest
    return {**manifest, "spec": {**manifest["spec"], "replicas": 0}}


def rendered(kubectl: Path, overlay: Path) -> Manifests:
    """Return the rendered manifests of an overlay. Raises MissingPart when it does not exist, HarnessError."""
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
