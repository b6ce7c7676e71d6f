"""n8n: node, backup sources, containment, key function, example data."""
