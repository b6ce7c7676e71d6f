"""The numbered writes of the client load: what is sent is what is read back, whatever the prefix is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.core.service import Answer
from harness.services.notification import load
from harness.traffic.door import GATEWAY_KEY


class Recorder:
    """A door that takes every message. `status`: its answer."""

    def __init__(self, status: int = 202) -> None:
        self.status = status
        self.references: list[str] = []

    def request(self, method: str, path: str, *, json: Any = None, **_more: Any) -> Answer:
        assert (method, path.endswith("/messages")) == ("POST", True)
        self.references.append(json["reference"])
        return Answer(self.status, b"{}", {})


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "key").write_text("of the clients")
    return {GATEWAY_KEY: f"file:{tmp_path}/key"}


def test_the_numbers_that_were_sent_are_read_back(secrets: dict[str, str]) -> None:
    door = Recorder()
    send = load.sender(door, secrets)
    assert all(send(number) for number in (1, 20, 300))
    assert load.numbers(door.references) == {1, 20, 300}
    assert all(reference.startswith(load.PREFIX) for reference in door.references)
    assert f"'{load.PREFIX}%'" in load.REFERENCES


def test_references_of_others_are_left_out() -> None:
    assert load.numbers([f"{load.PREFIX}7", f"{load.PREFIX}07", f"{load.PREFIX}x", "example-7", "7", ""]) == {7}


def test_only_an_accepted_message_counts(secrets: dict[str, str]) -> None:
    assert not load.sender(Recorder(status=503), secrets)(1)
