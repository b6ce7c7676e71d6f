"""The image that kind makes the node of a cluster from, and kind itself, built from their sources."""
