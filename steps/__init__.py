"""Step definitions: each sentence makes one call."""
