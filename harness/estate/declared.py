"""Fingerprint of what an estate declares to be tested, so that a weaker declaration is seen to be another one."""

import hashlib
import json
from collections.abc import Sequence

from harness.estate.config import Config

TESTED = {"services", "databases", "clients", "backup"}
NEVER_TESTED = {"backup": {"schedule", "alerts", "parallel"}}


def declared_hash(sentences: Sequence[str], config: Config) -> str:
    """Return the SHA-256, hex, of sentences together with the services, assertions and exclusions that are declared."""
    declared = config.model_dump(mode="json", include=TESTED, exclude=NEVER_TESTED)
    text = json.dumps([list(sentences), declared], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
