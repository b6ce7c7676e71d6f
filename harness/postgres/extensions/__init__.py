"""Functions of extensions that were changed: read at a backup, made again at a restore."""
