"""Fingerprint of what an estate declares to be tested, so that a weaker declaration is seen to be another one."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from harness.estate.config import Config

TESTED = {"databases", "clients", "backup"}
NEVER_TESTED = {"backup": {"schedule", "alerts", "parallel"}}


def declared_hash(sentences: Sequence[str], config: Config) -> str:
    """Return the SHA-256, hex, of sentences together with the services, assertions and exclusions that are declared."""
    declared = config.model_dump(mode="json", include=TESTED, exclude=NEVER_TESTED)
    services = {name: table.model_dump(mode="json") for name, table in config.services.items()}
    text = json.dumps([list(sentences), _portable(declared), _portable(services)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _portable(value: object) -> object:
    """Return a value with the path of a file beside `estate.toml` as its name: a checkout may be anywhere."""
    if isinstance(value, dict):
        return {key: _portable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_portable(inner) for inner in value]
    if isinstance(value, str) and value.startswith("/") and Path(value).is_file():
        return Path(value).name
    return value
