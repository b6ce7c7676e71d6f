"""Content keys of all baked images."""

from harness.images.build import recipes
from harness.images.kind import node


def key(name: str) -> str:
    """Return the content key of a baked image: 12 hex digits of a digest of its inputs. Raises MissingPart."""
    return node.key() if name == node.NAME else recipes.key(name)
