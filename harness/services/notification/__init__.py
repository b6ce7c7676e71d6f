"""Notification Service: node, backup sources, containment, key functions, example data, ledger writer."""
