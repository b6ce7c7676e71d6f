"""Shared by all substrates: base classes of nodes, sites and tasks; folders, ports, probes, logs."""
