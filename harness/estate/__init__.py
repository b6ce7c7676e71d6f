"""What `estate.toml` and `budgets.toml` declare, and how sites, services and stores are reached.

More than ten files because each declaration that is parsed, and each way to reach an estate, has a file of its own.
"""
