"""The embedded substrate: sites are folders, nodes are processes of this machine."""
