"""Shared by all substrates: base classes of nodes, sites and tasks; folders, ports, probes, logs.

More than ten files because each of these has a file of its own, however little it is.
"""
