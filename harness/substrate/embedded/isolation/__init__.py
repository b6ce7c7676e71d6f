"""Isolation of the sites of the embedded substrate: namespaces(7) of the kernel, made by a small program."""
