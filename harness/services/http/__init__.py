"""HTTP services that are declared in estate.toml, without code."""
