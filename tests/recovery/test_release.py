"""What `blackstart release` prints and keeps: all that can be released is, and the rest stays in the state file."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.cli.recovery import release
from harness.core.errors import Finding, HarnessError, exit_code
from harness.estate.state_file import StateFile, read_state
from harness.recovery.containment import contain_all
from tests.memory_estate import MemoryEstate, Shop


@pytest.fixture
def services(memory_estate: MemoryEstate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Shop, Shop]:
    """Two services that were recovered, contained as the state file says."""
    memory_estate.site("dr").activate()
    place, shops = memory_estate.site("dr").place, (Shop(name="first"), Shop(name="second"))
    contained = contain_all(shops, place, "reversible", memory_estate.journal)
    (tmp_path / "run").mkdir()
    words = dict.fromkeys(("estate", "site", "logs", "secrets", "sql", "s3", "offsite", "public", "names"), "")
    StateFile(**words, run=str(tmp_path / "run"), contained=contained).write(tmp_path / "recovered.json")
    connections = SimpleNamespace(services=shops, recovered=SimpleNamespace(place=place))
    monkeypatch.setattr("harness.recovery.recover.connect", lambda *_words: connections)
    monkeypatch.setattr("harness.estate.config.load_config", lambda _path: None)
    return shops


def test_one_that_fails_stays_in_the_file_until_it_is_released_too(
    services: tuple[Shop, Shop], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = services
    first.missing, at = ("cron 3 was removed since",), tmp_path / "recovered.json"
    second.fails["release"] = HarnessError("no answer")
    with pytest.raises(Finding, match=r"^not released: second: no answer; ") as raised:
        release(at=at)
    assert exit_code(raised.value) == 1
    assert capsys.readouterr().out == "NOTE: first: cron 3 was removed since\nreleased: first\n"
    assert [entry.service for entry in read_state(at, "").contained] == ["second"]
    second.fails.clear()
    release(at=at)
    assert capsys.readouterr().out == "released: second\n"
    release(at=at)
    assert capsys.readouterr().out == "released: nothing was contained\n"
