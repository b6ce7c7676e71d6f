"""Messages 2.2 to 2.8: the recovery, one file a phase; `blackstart recover`."""
