"""Kills of commands at every call to the object store, through a proxy that counts the calls."""
