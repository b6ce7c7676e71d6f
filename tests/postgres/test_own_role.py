"""The password of the role that blackstart connects as is never replaced by that of a service."""

from __future__ import annotations

import pytest

from harness.core.errors import UsageError
from harness.core.node import Address
from harness.core.service import Sql
from harness.postgres.passwords import set_password
from harness.postgres.server import make_database

NOWHERE = Address("127.0.0.1", 9)
SERVER = Sql(NOWHERE, NOWHERE, "root", "env:NEVER_READ")
SAID = r"role root is the superuser that blackstart connects as.*`role`, or another `database`"


def test_our_own_role_keeps_its_password() -> None:
    with pytest.raises(UsageError, match=SAID):
        set_password(SERVER, "root", "env:NEVER_READ")
    with pytest.raises(UsageError, match=f"database flows: {SAID}"):
        make_database(SERVER, "flows", "root", "env:NEVER_READ")
