"""Each obstacle of a restore is named, with all others, before anything is fetched."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.contents import Needs
from harness.core.errors import UsageError
from harness.physical import preflight as module
from harness.physical.installation.lacking import Lacking
from harness.physical.preflight import preflight, require_all


def refuse(why: str) -> None:
    raise UsageError(why)


def test_all_checks_are_made_and_each_obstacle_is_named_once() -> None:
    made: list[str] = []
    require_all(lambda: made.append("first"), lambda: made.append("second"))
    assert made == ["first", "second"]
    with pytest.raises(UsageError, match=r"^one; two$"):
        require_all(lambda: refuse("one"), lambda: None, lambda: refuse("two"), lambda: refuse("one"))


def test_what_the_installation_lacks_is_an_obstacle_as_a_folder_with_files_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacks = Lacking(libraries=("library postgis is missing",))
    monkeypatch.setattr(module, "programs_of", lambda *_words: "the programs")
    monkeypatch.setattr(module, "Here", lambda _programs: None)
    monkeypatch.setattr(module, "lacking", lambda *_words: lacks)
    contents = SimpleNamespace(system=SimpleNamespace(major=18))
    backup = SimpleNamespace(backup_id="one", manifest=SimpleNamespace(contents=contents))
    way: Any = SimpleNamespace(parents=(), backup=backup, size=lambda: 0, facts=SimpleNamespace(needs=Needs()))
    folder = tmp_path / "data"
    done: tuple[Any, tuple[str, ...]] = preflight(way, folder, None, elsewhere=False, database="")
    assert done == ("the programs", lacks.libraries)
    lacks = Lacking(own=("ICU is missing",))
    (tmp_path / "data").mkdir()
    (tmp_path / "data/file").touch()
    with pytest.raises(UsageError, match=r"is not empty.*; ICU is missing$"):
        preflight(way, folder, None, elsewhere=False, database="")
