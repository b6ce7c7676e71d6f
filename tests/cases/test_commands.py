"""The command line of an operator: his production's backup on his own machine, and what he is told."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.estate.connections import BUCKET
from harness.repository.format.recipients import new_pair
from harness.s3.client import client
from tests.cases.production import Production, begun, blackstart, last

pytestmark = [pytest.mark.cases, pytest.mark.night]


def test_a_laptop_tests_the_newest_backup_of_production(there: Production, laptop: Path) -> None:
    """`restore-test --substrate embedded`: a DR site is made, tested and removed; nothing of production is reached."""
    before = there.stored()
    done = blackstart(laptop, "restore-test", "--substrate", "embedded", LC_ALL="C")
    assert done.returncode == 0, done.stderr + done.stdout
    verdict = last(done)
    assert (verdict["verdict"], verdict["reasons"]) == ("KEPT", [])
    record = json.loads((Path(str(verdict["record"])) / "record.json").read_text())
    assert record["substrate"] == "embedded"
    assert record["data_rows"] == 500
    assert [result["passed"] for result in record["key_results"]].count(True) >= 3
    assert "guestbook-db" in record["notes"]["secrets made for this site"]
    assert record["refused"][0]["packets"] >= 1  # the program tried to reach the world
    assert list((laptop / "runs").iterdir()) == []
    assert there.stored() == before


@pytest.mark.parametrize("arguments", [(), ("--json",)], ids=["text", "json"])
def test_backups_of_a_declared_repository_say_what_they_cover(operator: Path, arguments: tuple[str, ...]) -> None:
    """`backups` needs no running example estate: the declared repository is listed."""
    done = blackstart(operator, "backups", *arguments)
    assert done.returncode == 0, done.stderr
    if not arguments:
        assert "covered: database guestbook: 1 tables, 500 rows" in done.stdout.splitlines()
        assert "not covered" in done.stdout.splitlines()[0]
        return
    (backup,) = json.loads(done.stdout)
    assert backup["covered"] == ["database guestbook: 1 tables, 500 rows"]
    assert {"uncovered", "excluded", "missing"} <= set(backup)


def test_the_receipt_says_what_is_covered(operator: Path) -> None:
    done = blackstart(operator, "backup")
    receipt = last(done)
    assert receipt["kind"] == "receipt"
    assert receipt["covered"] == ["database guestbook: 1 tables, 500 rows"]
    assert receipt["missing"] == []


def test_the_schedule_backs_up_the_declared_primary(there: Production, operator: Path, tmp_path: Path) -> None:
    """`schedule` needs no running example estate either; Ctrl-C ends it."""
    folder = tmp_path / "scheduled"
    shutil.copytree(operator, folder)
    with (folder / "estate.toml").open("a") as file:
        file.write('[backup]\nschedule = "* * * * * *"\n')
    with begun(folder, "schedule") as running:
        assert running.stdout is not None
        kinds = (json.loads(line)["kind"] for line in running.stdout)
        assert "receipt" in kinds
        running.send_signal(signal.SIGINT)
        running.stdout.read()
    assert running.returncode == 130


def remove_writers(folder: Path) -> None:
    for key in (folder / "secrets/dr").glob("writer-*.pub"):
        key.unlink()


WRONG_LAPTOPS: dict[str, tuple[Callable[[Path], object], tuple[str, ...], int, str]] = {
    "no key": (lambda f: (f / "secrets/dr/recipient.pem").unlink(), (), 2, "recipient.pem: missing; add that secret"),
    "no folder": (lambda f: None, ("--secrets", "nowhere"), 2, "nowhere: secrets cannot be read"),
    "no key at all": (lambda f: (f / "secrets/dr/recipient.pem").write_bytes(b"\0\1"), (), 2, "not an unencrypted"),
    "another's key": (
        lambda f: (f / "secrets/dr/recipient.pem").write_bytes(new_pair()[0]), (), 2, "opens no backup"),
    "no writer's key": (remove_writers, (), 2, "no writer-*.pub, so that no backup is trusted; copy the public key"),
    "an unknown substrate": (lambda f: None, ("--substrate", "cloud"), 2, "write embedded, docker, kind, existing"),
    "no repository": (
        lambda f: change(f, "[existing.offsite]", "[existing.elsewhere]"), (), 2, "existing.elsewhere: unknown key"),
    "an unknown promise": (lambda f: None, ("--promise", "site los"), 2, "did you mean 'site loss'?"),
    "the repository's key": (
        lambda f: (f / "secrets/offsite/s3-secret").write_text("guessed"), (), 3, "(SignatureDoesNotMatch)"),
}  # fmt: skip


@pytest.mark.parametrize("substrate", ["docker", "kind"])
def test_a_restore_test_without_a_container_engine_is_one_line_and_nothing_is_begun(
    laptop: Path, substrate: str
) -> None:
    done = blackstart(laptop, "restore-test", "--substrate", substrate, DOCKER_HOST="unix:///nowhere.sock")
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    assert "no container engine answers at unix:///nowhere.sock" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (laptop / "reports").exists()


def change(folder: Path, before: str, after: str) -> None:
    file = folder / "estate.toml"
    file.write_text(file.read_text().replace(before, after, 1))


@pytest.mark.parametrize("name", WRONG_LAPTOPS)
def test_a_mistake_of_a_restore_test_is_one_line_and_nothing_is_begun(laptop: Path, name: str) -> None:
    damage, arguments, code, said = WRONG_LAPTOPS[name]
    damage(laptop)
    done = blackstart(laptop, "restore-test", "--substrate", "embedded", *arguments)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (laptop / "reports").exists()


def test_junk_in_the_repository_is_passed_over(there: Production, laptop: Path, operator: Path) -> None:
    """What is no backup, or a damaged one, costs nobody the others."""
    there.put("guests/commit/not a backup.json", b"{}")
    there.put("guests/commit/20990101T000000.000000Z-0123456789.json", b"\xff\x00junk")
    done = blackstart(laptop, "backups")
    assert done.returncode == 0, done.stderr
    assert "NOT TRUSTED: not a signed envelope" in done.stdout
    assert "covered: database guestbook: 1 tables, 500 rows" in done.stdout


@pytest.fixture
def custodian(there: Production, operator: Path, tmp_path: Path) -> Path:
    """A folder with DR's keys and write access to the repository, and the pair of a new recipient."""
    folder = there.folder(tmp_path / "custodian", primary=False)
    shutil.copytree(operator / "secrets/dr", folder / "secrets/dr")
    for name, text in zip(("new.pem", "new.pub"), new_pair(), strict=True):
        (folder / name).write_bytes(text)
    shutil.copy2(operator / "secrets/primary/recipient-dr.pub", folder / "dr.pub")
    shutil.copy2(operator / "secrets/primary/recipient-escrow.pub", folder / "escrow.pub")
    return folder


def rewrapped(folder: Path, *words: str, key: str = "secrets/dr/recipient.pem") -> subprocess.CompletedProcess[str]:
    return blackstart(folder, "keys", "rewrap", "--private", key, *words)


def test_a_recipient_is_added_and_removed_again_by_the_command(there: Production, custodian: Path) -> None:
    """A line for each backup; the one that cannot be read is named, costs nobody the others, and the exit code is 3."""
    junk = "20980101T000000.000000Z-0123456789"
    there.put(f"guests/commit/{junk}.json", b"\xff\x00junk")
    before = {key for key in there.stored() if "/keys/" not in key}
    for words, key in ((("--add", "new.pub"), "secrets/dr/recipient.pem"), (("--remove", "new.pub"), "new.pem")):
        done = rewrapped(custodian, *words, key=key)
        assert done.returncode == 3, done.stderr
        lines = dict(line.split("  ", 1) for line in done.stdout.splitlines())
        assert lines[junk].startswith("NOT CHANGED: backup")
        changed = [said for said in lines.values() if not said.startswith("NOT CHANGED")]
        assert changed
        assert {said.split()[0] for said in changed} == {"added" if "--add" in words else "removed"}
        names = [said.partition("recipients: ")[2].split(", ") for said in changed]
        assert {len(one) for one in names} == {3 if "--add" in words else 2}
        failed = done.stderr.strip().removeprefix("blackstart: not done for: ").split(", ")
        assert junk in failed  # beside what other tests put there
    assert {key for key in there.stored() if "/keys/" not in key} == before
    done = rewrapped(custodian, "--add", "new.pub", key="new.pem")  # it opens nothing any more
    assert done.returncode == 3
    assert all("NOT CHANGED" in line for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "nothing to change; name a key with --add or --remove"),
        (("--remove", "escrow.pub"), "would be left with 1 recipient, at least 2 are required"),
        (("--remove", "0123456789abcdef"), "--remove 0123456789abcdef: no backup has this recipient; recipients: "),
        (("--add", "new.pem"), "this is a private key"),
        (("--add", "none.pub"), "none.pub: No such file or directory"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake_of_rewrap_is_one_line_and_changes_nothing(
    there: Production, custodian: Path, words: tuple[str, ...], said: str
) -> None:
    before = there.stored()
    done = rewrapped(custodian, *words)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert there.stored() == before


def test_verify_opens_each_backup_once_and_names_one_that_lost_an_object(there: Production, operator: Path) -> None:
    first, second = blackstart(operator, "verify"), blackstart(operator, "verify")
    (backup, *_) = [key.split("/")[2] for key in there.stored() if "/data/" in key]
    assert f"{backup}  valid: " in first.stdout
    assert f"{backup}  opened " in second.stdout
    lost = next(key for key in there.stored() if f"/data/{backup}/" in key)
    body = client(there.offsite).get_object(BUCKET, lost).read()
    client(there.offsite).remove_object(BUCKET, lost)
    try:
        third = blackstart(operator, "verify")
        assert (third.returncode, f"{backup}  NOT VALID: " in third.stdout) == (1, True)
    finally:
        there.put(lost, body)
    assert f"{backup}  valid: " in blackstart(operator, "verify", "--all").stdout
