"""A repository in a directory: a mounted disk, or a network file system."""
