"""Secrets are read by reference, and a mistake in one is told without its value."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.vault import for_password_file, read_secret, read_text_secret


def test_a_secret_is_read_without_its_last_newline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_bytes(b"one\n")
    monkeypatch.setenv("A_SECRET", "two")
    assert read_secret(f"file:{tmp_path}/secret") == b"one"
    assert read_text_secret("env:A_SECRET") == "two"


def test_a_password_is_escaped_for_a_password_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", r"a:b\c")
    assert for_password_file("env:A_SECRET") == r"a\:b\\c"
    monkeypatch.setenv("A_SECRET", "over\n*:*:*:*:two")
    with pytest.raises(UsageError, match="cannot hold a newline") as refused:
        for_password_file("env:A_SECRET")
    assert "over" not in str(refused.value)


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("env:NOT_SET_ANYWHERE", "environment variable NOT_SET_ANYWHERE is not set; set it"),
        ("file:/nowhere/secret", "No such file or directory; check the path"),
        ("plain text", "not a reference; write env:NAME or file:PATH"),
    ],
)
def test_a_reference_that_leads_to_nothing_is_a_mistake(reference: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_secret(reference)
