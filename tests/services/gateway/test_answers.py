"""The key function of the gateway: the key is needed, and it is enough."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import Finding
from harness.core.service import Answer, Route
from harness.services.gateway.app import refuses_without_key


class Door:
    """A public door that answers one status without the key and another with it."""

    def __init__(self, stranger: int, client: int) -> None:
        self.stranger, self.client = stranger, client

    def request(self, _method: str, _path: str, *, headers: object = None, **_more: object) -> Answer:
        return Answer(self.client if headers else self.stranger, b"", {})


@pytest.mark.parametrize(
    ("stranger", "client", "ready", "said"),
    [
        (200, 200, "/ready", "without the key: answered 200, not 401"),
        (401, 401, "/ready", "with the key: answered 401"),
        (401, 502, "", "with the key: answered 502"),
        (401, 404, "/ready", "with the key: answered 404"),
        (401, 404, "", ""),
        (401, 200, "/ready", ""),
    ],
)
def test_a_key_that_is_not_needed_or_not_enough_is_a_finding(
    tmp_path: Path, stranger: int, client: int, ready: str, said: str
) -> None:
    (tmp_path / "key").write_text("clients:of the shop")
    route, key = Route("/shop", "shop", strip=True, auth=True, ready=ready), f"file:{tmp_path}/key"
    door: Any = Door(stranger, client)
    if not said:
        assert "401 without the key" in refuses_without_key(door, route, key)
        return
    with pytest.raises(Finding, match=said):
        refuses_without_key(door, route, key)
