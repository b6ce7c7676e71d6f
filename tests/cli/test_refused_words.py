"""What a command refuses by itself, before it reads a repository: called in this process."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.backup.verify import Verified
from harness.cli.app import start
from harness.cli.drills import latest_report, newest_record, prepare, refine_command, up
from harness.cli.keys import keys_new, keys_rewrap
from harness.cli.recovery import recover
from harness.cli.repository import repository_new, repository_probe
from harness.cli.restore import restore
from harness.cli.restore_test import restore_test, run_test
from harness.cli.resume import resume_recovery, resume_restore_test
from harness.cli.retention import retention, writer_side
from harness.cli.verify import restored as verify_restored
from harness.cli.verify import verify
from harness.core.errors import HarnessError, Refused, UsageError
from harness.estate.config import load_config
from harness.evidence.format.chain import OPENED, add
from harness.recovery.begun import Begun

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def estate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The example estate, whose repository is opened without a key of DR."""
    monkeypatch.setattr("harness.backup.verify.reader_of", lambda *_words: (None, None))
    return Path(shutil.copy(ROOT / "estate.toml", tmp_path))


def restored(scratch: Path) -> Iterator[Verified]:
    nothing: Any = None
    return verify_restored(nothing, b"", nothing, scratch, every=False, only="")


def approval(file: Path) -> Path:
    (file.parent / "drill.toml").write_text('approval = "required"\n')
    return file


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda file: verify(file, quick=True, every=True), "--quick opens nothing, --all and --restore do"),
        (lambda file: verify(file, quick=False, every=True), r"DR's private key \(recipient.pem\) is not among"),
        (lambda file: verify(file, quick=True, backup_id="x"), "--backup and --scratch belong to --restore; add it"),
        (lambda file: next(restored(file.parent / "none")), r"--scratch .*/none: is no folder; name one on a disk"),
        (lambda file: restore_test(file, substrate="moon"), "--substrate moon: write embedded, "),
        (restore_test, r"declares no DR site under \[existing.dr\]"),
        (lambda file: restore_test(approval(file)), 'approval = "required", and nobody approved this run'),
        (lambda file: restore(file.parent / "new", config=file), r"restore: DR's private key \(recipient.pem\) is not"),
        (lambda file: restore(config=file), "restore: name --into FOLDER for the server, or --database"),
        (lambda file: keys_rewrap(file, config=file), "keys rewrap: nothing to change"),
    ],
)
def test_words_that_do_not_fit_are_refused(estate: Path, call: Callable[[Path], object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        call(estate)


def test_nothing_expires_without_a_declared_retention(estate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = SimpleNamespace(backup=SimpleNamespace(retention=None))
    monkeypatch.setattr("harness.estate.config.load_config", lambda _file: loaded)
    with pytest.raises(UsageError, match=r"no \[backup.retention\]: every backup is kept"):
        retention(estate)


def test_a_mistake_in_the_timeouts_ends_every_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.patience.MISTAKE", "BLACKSTART_PATIENCE_X: no such patience")
    with pytest.raises(UsageError, match="no such patience"):
        start(SimpleNamespace(invoked_subcommand="doctor", args=[]))  # type: ignore[arg-type]


def declared_offsite(**more: object) -> SimpleNamespace:
    table = SimpleNamespace(**{"directory": None, "read_only": False, "witness": None, "witness_store": None, **more})
    return SimpleNamespace(existing=SimpleNamespace(offsite=table), estate=SimpleNamespace(name="shop"))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (repository_new, "a bucket needs no marker"),
        (repository_probe, "a store is probed by writing to it; set it to false"),
    ],
)
def test_a_store_that_cannot_be_marked_or_probed_is_refused(
    estate: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[[Path], object], said: str
) -> None:
    monkeypatch.setattr("harness.estate.config.load_config", lambda _file: declared_offsite())
    where = SimpleNamespace(directory=None, read_only=True)
    monkeypatch.setattr("harness.estate.existing.connect_offsite", lambda _config: where)
    with pytest.raises(UsageError, match=said):
        call(estate)


def test_nothing_is_removed_where_no_witness_says_what_was_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "writer.pem").touch()
    site = SimpleNamespace(secrets=tmp_path)
    monkeypatch.setattr("harness.estate.existing.declared_site", lambda _config, _name: site)
    with pytest.raises(UsageError, match=r"existing\.offsite: no witness is declared"):
        writer_side(declared_offsite(), tmp_path / "up.json")  # type: ignore[arg-type]


def test_a_record_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.json: no such record"):
        refine_command(tmp_path / "none.json")
    with pytest.raises(UsageError, match="no record there; run `blackstart drill`"):
        newest_record(tmp_path)


@pytest.mark.damages_records
def test_no_clock_says_which_record_is_the_newest(tmp_path: Path) -> None:
    for name in ("20270101T000000Z-a-1", "20261201T000000Z-a-2", "zz-copied"):
        folder = tmp_path / "drills" / name
        folder.mkdir(parents=True)
        (folder / "record.json").touch()
        if name != "zz-copied":
            add(folder.parent, OPENED, name)
    assert newest_record(tmp_path).name == "20261201T000000Z-a-2"
    (tmp_path / "drills/chain.jsonl").write_text("no chain\n")
    assert newest_record(tmp_path).name == "zz-copied"


def test_a_run_of_the_future_is_not_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.cli.drills.built", lambda run: run)
    with pytest.raises(UsageError, match="no drill has run yet"):
        latest_report(tmp_path)
    for name in ("29990101T000000Z-1", "20261201T000000Z-2"):
        (tmp_path / "runs" / name / "allure-results").mkdir(parents=True)
    assert latest_report(tmp_path).parent.name == "20261201T000000Z-2"
    (tmp_path / "runs/20261201T000000Z-2/allure-results").rmdir()
    assert latest_report(tmp_path).parent.name == "29990101T000000Z-1"


def test_a_key_is_not_overwritten(tmp_path: Path) -> None:
    for name in ("private", "public"):
        (tmp_path / name).mkdir()
    keys_new("dr", tmp_path / "private", tmp_path / "public", tmp_path / "estate.toml")
    with pytest.raises(UsageError, match="exists and is not overwritten"):
        keys_new("dr", tmp_path / "private", tmp_path / "public", tmp_path / "estate.toml")


@pytest.mark.parametrize(
    ("name", "fenced", "said"),
    [("another", "its power is cut", "another"), ("example-shop", "", "primary")],
)
def test_a_recovery_names_its_estate_and_why_the_primary_cannot_come_back(
    estate: Path, monkeypatch: pytest.MonkeyPatch, name: str, fenced: str, said: str
) -> None:
    def begun(*_words: object, **_more: object) -> None:
        pytest.fail("the recovery has begun")

    monkeypatch.setattr("harness.estate.connections.offsite_at", begun)
    monkeypatch.chdir(estate.parent)
    with pytest.raises((UsageError, Refused), match=said):
        recover("127.0.0.1:9", estate.parent, name, estate, fenced=fenced)


@pytest.fixture
def begun(estate: Path, tmp_path: Path) -> Begun:
    """A recovery of an estate whose declaration is another one now. Nobody says why the primary is down."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run/estate.toml").write_text("another declaration")
    given = dict.fromkeys(("at", "offsite", "estate", "witness", "fenced", "promise", "unsigned", "approver"), "")
    given |= {"secrets": "", "budgets": str(ROOT / "features/budgets.toml"), "config": str(estate)}
    return SimpleNamespace(
        given=given | {"substrate": "embedded"}, work="recover", record=tmp_path, run=tmp_path / "run"
    )  # type: ignore[return-value]


@pytest.mark.parametrize("resumed", [resume_recovery, resume_restore_test])
def test_work_on_a_declaration_that_was_changed_is_not_resumed(
    begun: Begun, monkeypatch: pytest.MonkeyPatch, resumed: Callable[[Path, Begun], None]
) -> None:
    def refused(_begun: Begun, _config: Path) -> None:
        raise Refused("the declaration was changed")

    monkeypatch.setattr("harness.recovery.resume.require_unchanged", refused)
    with pytest.raises(Refused, match="the declaration was changed"):
        resumed(begun.record, begun)


def test_a_restore_test_that_another_has_resumed_or_ended_meanwhile_is_not_cleared(
    begun: Begun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.recovery.resume.require_unchanged", lambda *_words: None)
    monkeypatch.setattr("harness.restore_test.undo.clear_interrupted", lambda _run: pytest.fail("it was cleared"))
    monkeypatch.setattr("harness.estate.target_lock.alone_at", lambda *_words: nullcontext())
    given = {**begun.given, "promise": "site loss", "secrets": str(begun.record)}
    with pytest.raises(UsageError, match="no such run; a run that was swept cannot be resumed"):
        resume_restore_test(begun.record / "no run", SimpleNamespace(given=given))  # type: ignore[arg-type]


def test_a_restore_test_of_a_wrong_declaration_leaves_no_record(
    estate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: Any = SimpleNamespace(words={}, secrets=None, unsigned=False)
    monkeypatch.setattr("harness.restore_test.build.run_restore_test", lambda *_words, **_more: pytest.fail("begun"))
    with pytest.raises(UsageError, match="no repository is declared"):
        run_test(load_config(estate), SimpleNamespace(), tmp_path, tmp_path / "reports", given, None)  # type: ignore[arg-type]
    assert not (tmp_path / "reports").exists()


def test_a_recovery_is_not_resumed_while_the_primary_may_live(begun: Begun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.recovery.resume.require_unchanged", lambda *_words: None)
    with pytest.raises((UsageError, Refused), match="primary"):
        resume_recovery(begun.record, begun)


@pytest.mark.parametrize("call", [prepare, up])
def test_a_folder_that_cannot_be_written_or_a_full_disk_is_refused(
    estate: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., None]
) -> None:
    def begun(*_words: object, **_more: object) -> None:
        pytest.fail("it has begun")

    monkeypatch.setattr("harness.core.parallel.in_parallel", begun)
    monkeypatch.setattr("harness.drill.up.run_until_stopped", begun)
    (estate.parent / "file").touch()
    for name in ("BLACKSTART_CACHE", "BLACKSTART_RUNS"):
        monkeypatch.setenv(name, str(estate.parent / "file/below"))
    with pytest.raises((UsageError, HarnessError), match="name another folder with"):
        call(estate)
    for name in ("BLACKSTART_CACHE", "BLACKSTART_RUNS"):
        monkeypatch.setenv(name, str(estate.parent / name))
    monkeypatch.setattr("harness.estate.space.of_estate", lambda _mb: 10**9)
    monkeypatch.setattr("harness.estate.space.of_drill", lambda _mb: 10**9)
    with pytest.raises(HarnessError, match="MB of disk space are free"):
        call(estate)
