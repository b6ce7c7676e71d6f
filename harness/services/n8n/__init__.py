"""n8n: nodes, sources, containment, key functions."""
