"""A whole server that cannot be restored, or is another than the one that was, is refused with its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.core.contents import Needs
from harness.core.errors import HarnessError, RestoreFailed, UsageError
from harness.core.journal import MemoryJournal
from harness.estate.secrets import Secrets
from harness.physical.installation.lacking import Lacking
from harness.recovery import restorable
from harness.recovery import restore_server as module
from harness.recovery.recover import recover
from harness.recovery.restore_server import ServerRestore

NOTHING: Any = None
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def way(**more: Any) -> Any:
    facts = SimpleNamespace(tablespaces=(), checksums=False, stopped_at=NOON, needs=Needs())
    contents = SimpleNamespace(system=SimpleNamespace(major=18))
    backup = SimpleNamespace(manifest=SimpleNamespace(cluster="7391", contents=contents))
    return SimpleNamespace(
        **{"name": "base", "timeline": 1, "facts": facts, "backup": backup, "lost": (), "size": lambda: 0} | more
    )


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServerRestore:
    """A restore whose unpacking and replay succeed at once; DR's server is what the test says."""

    @contextmanager
    def made(_folder: Path) -> Iterator[None]:
        yield

    monkeypatch.setattr(module, "made", made)
    monkeypatch.setattr(module, "fill", lambda found, *_words: found)
    for name in ("programs_of", "set_aside", "replay_way", "room_for", "WalReader"):
        monkeypatch.setattr(module, name, lambda *_words: "")
    dumps: Any = SimpleNamespace(snapshot_at=NOON)
    place: Any = SimpleNamespace(sql=None)
    choice: Any = SimpleNamespace(ways=(), standby="there is no standby")
    return ServerRestore(place, choice, NOTHING, "key", dumps, lambda _work: None, tmp_path, MemoryJournal(), 1)


def restored_as(work: ServerRestore, patch: pytest.MonkeyPatch, identifier: str, timeline: int) -> None:
    patch.setattr(module, "system_facts", lambda _sql: SimpleNamespace(identifier=identifier, timeline=timeline))
    work.way = way()
    work._promote()


def test_a_server_that_is_not_the_restored_one_is_refused(work: ServerRestore, monkeypatch: pytest.MonkeyPatch) -> None:
    restored_as(work, monkeypatch, "7391", 2)
    for identifier, timeline in (("8000", 2), ("7391", 1)):
        with pytest.raises(RestoreFailed, match=f"DR's server is system {identifier} on timeline {timeline}; the rest"):
            restored_as(work, monkeypatch, identifier, timeline)


def test_nothing_is_replayed_that_was_not_unpacked(work: ServerRestore) -> None:
    with pytest.raises(RestoreFailed, match=r"^no base backup is unpacked$"):
        work._promote()


def test_a_standby_that_cannot_be_chosen_is_not_taken(work: ServerRestore) -> None:
    with pytest.raises(RestoreFailed, match=r"^there is no standby$"):
        work._take(SimpleNamespace(take=lambda *_words: pytest.fail("taken")))


def test_a_standby_that_could_not_be_connected_to_here_is_not_taken(
    work: ServerRestore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restorable, "Here", lambda _programs: None)
    monkeypatch.setattr(restorable, "There", lambda _sql: None)
    monkeypatch.setattr(restorable, "lacking", lambda *_words: Lacking(locales=("locale de_DE is missing",)))
    work.choice = SimpleNamespace(standby=way())  # type: ignore[assignment]
    with pytest.raises(UsageError, match="locale de_DE is missing"):
        work._take(SimpleNamespace(take=lambda *_words: pytest.fail("taken")))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            lambda: way(facts=SimpleNamespace(tablespaces=("fast",), needs=Needs())),
            "tablespaces are not restored onto a DR site",
        ),
        (lambda: way(size=lambda: 1 << 60), "MiB are free"),
        (
            lambda: way(
                lost=("WAL is gone",),
                facts=SimpleNamespace(tablespaces=(), stopped_at=NOON.replace(hour=1), needs=Needs()),
            ),
            "WAL is gone; what is left may end before the dumps",
        ),
    ],
)
def test_a_base_backup_that_does_not_serve_is_passed_over(
    work: ServerRestore, found: Callable[[], Any], said: str
) -> None:
    assert work._unpack(whole := way()) is whole
    with pytest.raises((RestoreFailed, HarnessError), match=said):
        work._unpack(found())
    work.choice = SimpleNamespace(ways=(found(),))  # type: ignore[assignment]
    with pytest.raises(RestoreFailed, match="no base backup can be restored"):
        work._open_backup()
    assert said in work.findings[0]


def test_a_recovery_without_the_secrets_of_its_site_is_refused(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path)
    for holder in ("dr", "clients", "names"):
        with pytest.raises(UsageError, match=f"{tmp_path}/{holder}: no secrets in this folder; copy those of the DR"):
            recover(NOTHING, NOTHING, secrets, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING)
        secrets.put(holder, "any", b"x")
