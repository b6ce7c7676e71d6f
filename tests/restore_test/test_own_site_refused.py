"""A DR site of its own is refused before anything is made, for each thing that a test there would fail without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.core.errors import HarnessError, UsageError
from harness.estate.config import Config
from harness.estate.connections import Offsite
from harness.estate.substrates import SUBSTRATES, SubstrateKind
from harness.repository.catalogue import Repository
from harness.repository.format.recipients import new_pair
from harness.restore_test import own_site as module
from harness.restore_test.own_site import OwnSite, own_site
from tests.memory_estate import NOBODY
from tests.repository.memory_store import MemoryStore
from tests.repository.store_servers import Recipients, contents
from tests.restore_test.test_own_site import FINGERPRINTS, NEEDED, TABLES
from tests.servers import secret_files


@dataclass
class Asked:
    """What a restore test was asked for. `folder`: of `--secrets`."""

    folder: Path
    run: Path
    patch: pytest.MonkeyPatch
    kind: SubstrateKind = SUBSTRATES["embedded"]
    config: Config = field(default_factory=lambda: Config.model_validate(TABLES))

    def begin(self) -> OwnSite:
        return own_site(self.config, self.kind, self.folder, self.run)


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """A test that could begin: of a backup of logical data, whose key and secrets are there."""
    keys, folder = Recipients(), tmp_path / "secrets"
    folder.mkdir()
    secret_files(folder, NEEDED)
    for name, key in {"recipient.pem": keys.dr[0], "writer-1.pub": keys.writer[1]}.items():
        (folder / name).write_bytes(key)
    repository: Repository = keys.repository(MemoryStore())
    writer = keys.begin(repository)
    writer.add("globals", (b"x",))
    writer.commit(replace(contents(), fingerprints=FINGERPRINTS))
    monkeypatch.setattr(module, "repository_to_read", lambda *_words, **_more: repository)
    monkeypatch.setattr(module, "connect_offsite", lambda _config: Offsite(NOBODY, {}))
    return Asked(folder, tmp_path / "runs/one", monkeypatch)


def lack_a_package(asked: Asked) -> None:
    asked.kind = replace(asked.kind, packages=("blackstart_no_such_package",))


def share_a_path(asked: Asked) -> None:
    asked.patch.setattr("harness.estate.isolation.obstacle", lambda **_more: "not permitted")
    asked.patch.setattr("harness.estate.isolation.outside_volumes", lambda _config: ("services.odoo.argv: /srv",))


def have_another_key(asked: Asked) -> None:
    (asked.folder / "recipient.pem").write_bytes(new_pair()[0])


def lack_a_secret(asked: Asked) -> None:
    (asked.folder / "n8n-key").unlink()


def fill_the_disk(asked: Asked) -> None:
    usage = SimpleNamespace(total=1 << 40, used=(1 << 40) - 1, free=1)
    asked.patch.setattr("shutil.disk_usage", lambda _path: usage)


def test_a_site_is_described_and_nothing_is_made(asked: Asked) -> None:
    assert asked.begin().fingerprints == FINGERPRINTS
    assert not asked.run.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lack_a_package, "blackstart_no_such_package"),
        (share_a_path, "outside its volumes, and both sites would use it"),
        (have_another_key, "recipient.pem: this key .* opens no backup"),
        (lack_a_secret, "secrets of the DR site: n8n-key missing"),
        (fill_the_disk, "make room, or name another disk with BLACKSTART_RUNS"),
    ],
)
def test_what_a_test_would_fail_without_is_refused_before_anything_is_made(
    asked: Asked, change: Callable[[Asked], None], said: str
) -> None:
    change(asked)
    with pytest.raises((UsageError, HarnessError), match=said):
        asked.begin()
    assert not asked.run.exists()
