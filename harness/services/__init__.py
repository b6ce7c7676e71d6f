"""The kinds of service that an estate may declare: one package a kind, and one value `KIND` in each."""
