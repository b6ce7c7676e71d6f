"""What is declared in `estate.toml` and `budgets.toml`, and how the sites, services and stores of it are reached.

More than ten files because an estate is reached in three ways (a drill's environment, a state file, existing sites),
and each of these, like each declaration that is parsed, has a file of its own.
"""
