"""Which words of `blackstart drill` are features."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.features import names_features


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--substrate", "docker"), False),
        (("-k", "features"), False),
        (("--approver", "docker"), False),
        (("features",), True),
        (("--substrate", "docker", "features"), True),
        (("--substrate=docker", "features/one.feature"), True),
        (("-v", "docker"), True),
        ((), False),
    ],
)
def test_the_value_of_an_option_names_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], *, named: bool
) -> None:
    (tmp_path / "docker").mkdir()
    (tmp_path / "features").mkdir()
    monkeypatch.chdir(tmp_path)
    assert names_features(words) is named
