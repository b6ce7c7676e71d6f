"""A service of the reader's own, declared in estate.toml."""
