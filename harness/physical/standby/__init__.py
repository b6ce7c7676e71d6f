"""Warm standby: a copy of the primary's database server that follows its WAL from the repository, until a disaster."""
