"""Variables of the environment that PostgreSQL's client library reads, whatever a connection asks for."""

import os

SECRET = "PGPASSWORD"  # noqa: S105 - the name; a reference to a secret may name it, and connections state theirs


def forget_client_variables() -> None:
    """Remove PGPORT, PGOPTIONS, PGSERVICE and all the others but `SECRET` from the environment of this process.

    Each sets what a connection leaves open: with PGPORT a server on its default port was not found.
    """
    for name in [one for one in os.environ if one.startswith("PG") and one != SECRET]:
        del os.environ[name]
