"""One database out of a physical backup: restored aside, dumped, and loaded into an empty database."""
