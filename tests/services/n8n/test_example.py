"""An n8n that does not take its example data is no example."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from harness.core.clock import NotYet
from harness.core.errors import HarnessError
from harness.services.n8n import example
from harness.services.n8n.load import sender


def session(status: int) -> Any:
    """Return a session of which every POST is answered with a status and an empty object."""
    answer = requests.Response()
    answer.status_code, answer._content = status, b"{}"
    return SimpleNamespace(post=lambda *_words, **_more: answer, headers={})


@pytest.fixture
def place(tmp_path: Path) -> Any:
    (tmp_path / "owner").write_text("password of the owner")
    return SimpleNamespace(secrets={example.OWNER_PASSWORD: f"file:{tmp_path}/owner"})


def test_a_refused_owner_is_an_error_and_one_that_is_not_served_yet_is_waited_for(place: Any) -> None:
    with pytest.raises(HarnessError, match="n8n: owner set-up answered 400"):
        example._own(session(400), "http://n8n", place)
    with pytest.raises(NotYet, match="owner set-up answers 503"):
        example._own(session(503), "http://n8n", place)
    example._own(session(200), "http://n8n", place)


def test_a_refused_call_names_its_path() -> None:
    with pytest.raises(HarnessError, match="n8n: /api/v1/credentials answered 500"):
        example._call(session(500), "http://n8n/api/v1/credentials", {})
    assert example._call(session(200), "http://n8n/api/v1/credentials", {}) == {}


def test_clients_without_a_key_are_refused() -> None:
    with pytest.raises(HarnessError, match="n8n"):
        sender("n8n", None, {})  # type: ignore[arg-type]
