"""Build hook: adds features, steps, fixtures and manifests to the wheel, where `harness.parts.places` finds them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUNDLE = ("features", "steps", "fixtures", "deploy", "estate.toml", "requirements.lock", "Containerfile")


class Bundle(BuildHookInterface[Any]):
    """An editable installation has no bundle: it uses the checkout itself."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files to a wheel that is not editable."""
        if version != "editable":
            root = Path(self.root)
            build_data["force_include"].update({str(root / name): f"harness/bundle/{name}" for name in BUNDLE})
