"""Release of what PostgreSQL itself held: what somebody removed since is named, and keeps nothing else."""

from __future__ import annotations

import pytest

from harness.core.errors import HarnessError
from harness.core.service import Contained
from harness.postgres.restoring import quiet
from harness.postgres.restoring.quiet import Held
from tests.postgres.attack import rows
from tests.servers import DatabaseServer

pytestmark = pytest.mark.programs
TRIGGER = (
    "CREATE FUNCTION told() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'",
    "CREATE EVENT TRIGGER kept ON ddl_command_end EXECUTE FUNCTION told()",
    "ALTER EVENT TRIGGER kept DISABLE",
)


def test_what_was_removed_since_is_a_line_and_all_else_is_released(dr: DatabaseServer) -> None:
    """A dropped trigger or database failed every release."""
    dr.execute("postgres", "CREATE DATABASE held")
    try:
        dr.execute("held", *TRIGGER)
        held = [Held("held", "event trigger", name, "O") for name in ("dropped", "kept")]
        held += [Held("gone", "functions"), Held("held", "materialised view", "nowhere", "public")]
        lines = quiet.release(dr.sql, Contained(quiet.SERVICE, tuple(map(str, held))))
        removed = "was removed since, and is not released"
        assert sorted(lines) == [
            f"event trigger dropped of database held {removed}",
            f"functions of database gone {removed}",
            f"materialised view nowhere of database held {removed}",
        ]
        assert rows(dr, "held", "SELECT evtenabled FROM pg_event_trigger") == [("O",)]
        with pytest.raises(
            HarnessError, match="not released, all else is: event trigger kept: its state 'x' is unknown"
        ):
            quiet.release(dr.sql, Contained(quiet.SERVICE, (str(Held("held", "event trigger", "kept", "x")),)))
    finally:
        dr.execute("postgres", "DROP DATABASE held WITH (FORCE)")
