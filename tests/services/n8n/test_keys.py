"""The key function of n8n, and the finding of each failure."""

from __future__ import annotations

import json as codec
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.core.errors import Finding, HarnessError
from harness.core.service import Answer
from harness.patience import PATIENCE
from harness.services.n8n import keys


@dataclass(frozen=True)
class Door:
    """A public door whose answers are given: `known` with the token, `stranger` without."""

    known: int
    stranger: int
    body: bytes | None = None

    def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        session: str = "",
        patience: float = 10.0,
    ) -> Answer:
        assert isinstance(json, dict)
        assert headers is not None
        assert headers["Authorization"].startswith("Basic ")
        if "X-Shop-Token" not in headers:
            return Answer(self.stranger, b"", {})
        return Answer(self.known, self.body or codec.dumps({"doubled": 2 * json["number"]}).encode(), {})


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, str]:
    for name in ("gateway-key", "shop-token"):
        (tmp_path / name).write_text(f"the {name}")
    return {name: f"file:{tmp_path / name}" for name in ("gateway-key", "shop-token")}


def test_a_healthy_workflow_passes(secrets: Mapping[str, str]) -> None:
    (function,) = keys.key_functions("n8n", secrets)
    assert (function.service, function.message) == ("n8n", "2.8.2")
    assert function.check(Door(200, 403)).endswith("refused without token")


@pytest.mark.parametrize(
    ("door", "line"),
    [
        (Door(404, 403), r"not within 0\.2 s \(answers 404: its webhook is not registered\)$"),
        (Door(200, 404), r"^answers 404"),
        (Door(401, 401), "401 instead of 200; the gateway rejects the clients' key"),
        (Door(403, 403), "403 instead of 200; the token is not the one in its credential"),
        (Door(502, 502), "502 instead of 200; see n8n's log"),
        (Door(200, 200), "without its token: 200 instead of 403"),
        (Door(200, 403, b'{"doubled": 41}'), "answered 41 instead of"),
        (Door(200, 403, b"[41]"), r"answered \[41\] instead of"),
        (Door(200, 403, b"<html>"), "answered b'<html>' instead of"),
    ],
)
def test_each_failure_is_a_finding_in_one_line(
    secrets: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, door: Door, line: str
) -> None:
    monkeypatch.setattr(PATIENCE, "n8n_webhook", 0.2)
    with pytest.raises(Finding, match=line) as found:
        keys.run_dummy(door, secrets)
    assert "\n" not in str(found.value)


def test_a_missing_client_secret_is_named(secrets: dict[str, str]) -> None:
    del secrets["shop-token"]
    with pytest.raises(HarnessError, match="the clients have no secret 'shop-token'"):
        keys.key_functions("n8n", secrets)
