"""The format of a backup: compressed frames, sealed segments, recipients, keys of objects, manifest."""
