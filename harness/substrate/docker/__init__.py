"""The docker substrate: a site is a network, its nodes are containers, its volumes are the engine's."""
