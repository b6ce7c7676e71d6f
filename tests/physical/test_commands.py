"""The commands of physical backups, against a real server and a real object store."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.core.clock import SYSTEM
from harness.postgres.server import connect
from harness.repository.format.recipients import new_pair
from tests.cases.production import Production, blackstart, last, there
from tests.forks import COMMAND, ROOT

__all__ = ["there"]

# What a shell may have for another server. Each was obeyed where a connection does not state it.
ELSEWHERE = {
    "PGPORT": "1",
    "PGOPTIONS": "-c no.such=1 -c port=2",
    "PGSERVICE": "none",
    "PGTARGETSESSIONATTRS": "standby",
}


@pytest.fixture(scope="module")
def operator(there: Production, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = there.folder(tmp_path_factory.mktemp("operator"))
    done = blackstart(folder, "keys", "new")
    assert done.returncode == 0, done.stderr + done.stdout
    return folder


def write(there: Production, *statements: str) -> None:
    with connect(there.sql, "guestbook") as connection:
        for statement in statements:
            connection.execute(statement.encode())


@contextmanager
def receiving(folder: Path, *, kill: bool = False) -> Iterator[subprocess.Popen[str]]:
    """Run `wal receive` until the block ends, and end it as Ctrl-C does, or by SIGKILL."""
    command = [*COMMAND, "wal", "receive"]
    env = os.environ | {"PYTHONPATH": str(ROOT), "BLACKSTART_RUNS": str(folder / "runs")}
    with subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if json.loads(line)["kind"] == "receiving":
                break
        try:
            yield running
        finally:
            running.send_signal(signal.SIGKILL if kill else signal.SIGINT)
            rest = running.stdout.read()
    assert running.returncode == (-signal.SIGKILL if kill else 0), rest


def test_a_physical_backup_and_continuous_wal_by_the_commands(there: Production, operator: Path) -> None:
    done = blackstart(operator, "backup", "--mode", "physical")
    assert done.returncode == 0, done.stderr + done.stdout
    receipt = last(done)
    assert str(receipt["covered"]).startswith("['all databases of system")
    with receiving(operator):
        write(there, "INSERT INTO entry SELECT n, 'more' FROM generate_series(1001, 1100) n", "SELECT pg_switch_wal()")
        write(there, "INSERT INTO entry VALUES (2000, 'last')")
        SYSTEM.sleep(2)
        done = blackstart(operator, "backup", "--mode", "physical")
        assert done.returncode == 0, done.stderr + done.stdout
    # At once: whoever is late in asking finds the WAL behind its budget as well.
    now = blackstart(operator, "status", "--textfile", "blackstart.prom")
    assert now.returncode == 1, now.stderr
    assert now.stdout.startswith("lost if the site were gone now: ")
    found = blackstart(operator, "verify", "--all")
    assert found.returncode == 0, found.stdout + found.stderr
    assert "files are there and were opened" in found.stdout
    hurried = blackstart(operator, "verify", "--quick")
    assert (hurried.returncode, hurried.stdout.count("not opened")) == (0, 2), hurried.stdout + hurried.stderr
    assert blackstart(operator, "verify", "--quick", "--all").returncode == 2
    listed = blackstart(operator, "backups")
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.count(" physical ") == 2
    alarms = [line for line in now.stdout.splitlines() if line.startswith("ALARM: ")]
    assert [line.split(",")[0].split(":")[1].strip() for line in alarms] == [
        "nobody receives from the replication slot",
        "max_slot_wal_keep_size is not set",
    ]
    assert 'blackstart_rpo_now_seconds{estate="guests"} ' in (operator / "blackstart.prom").read_text()
    secrets = (operator / "secrets/primary/writer.pem").read_text().splitlines()[1]
    assert secrets not in done.stdout + done.stderr


def test_a_receiver_that_is_killed_loses_nothing(there: Production, operator: Path) -> None:
    """SIGKILL while it ships: the server keeps what is not confirmed, and the next receiver goes on without a hole."""
    for number in range(3):
        with receiving(operator, kill=True):
            write(there, *("INSERT INTO entry SELECT n, 'x' FROM generate_series(5000, 9000) n ON CONFLICT DO NOTHING",
                           "DELETE FROM entry WHERE id >= 5000", "SELECT pg_switch_wal()") * 3)  # fmt: skip
            SYSTEM.sleep(0.3 * number)
    with receiving(operator):
        SYSTEM.sleep(2)
    found = blackstart(operator, "verify", "--all")
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.night
def test_restore_to_a_point_in_time_by_the_command(there: Production, operator: Path) -> None:
    with connect(there.sql, "guestbook") as connection, receiving(operator):
        done = blackstart(operator, "backup", "--mode", "physical")
        assert done.returncode == 0, done.stderr + done.stdout
        connection.execute("SELECT pg_create_restore_point('before the mistake')")
        connection.execute("DELETE FROM entry")
    words = ("restore", "--to", "name=before the mistake", "--into", "restored")
    done = blackstart(operator, *words, **ELSEWHERE)
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout.startswith(f"RESTORED {last_id(operator)} to ")
    assert (operator / "restored/PG_VERSION").read_text() == "18\n"
    again = blackstart(operator, *words)
    assert again.returncode == 2
    assert "has a database server's data, and nothing is restored over it" in again.stderr
    outside = blackstart(operator, "restore", "--to", "lsn=FF/0", "--into", "other")
    assert outside.returncode == 3
    assert "is outside of what can be reached" in outside.stderr
    assert "Traceback" not in outside.stderr + again.stderr
    assert not (operator / "other").exists()


def last_id(folder: Path) -> str:
    rows = json.loads(blackstart(folder, "backups", "--json").stdout)
    return str(rows[0]["id"])


def test_what_was_shipped_is_opened_by_a_recipient_that_was_added(there: Production, operator: Path) -> None:
    done = blackstart(operator, "backup", "--mode", "physical")
    assert done.returncode == 0, done.stderr + done.stdout
    new = new_pair()
    (operator / "added.pub").write_bytes(new[1])
    words = ("keys", "rewrap", "--private", "secrets/dr/recipient.pem", "--add", "added.pub")
    done = blackstart(operator, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line.count(",") for line in lines] == [2] * len(lines)
    assert any(line.startswith("WAL ") for line in lines)
    (operator / "secrets/dr/recipient.pem").write_bytes(new[0])
    found = blackstart(operator, "verify", "--all")
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.night
def test_archive_command_ships_what_the_server_finishes(there: Production, operator: Path) -> None:
    command = f"{sys.executable} -c 'from harness.cli import main; main()' wal push"
    script = operator / "push.sh"
    script.write_text(f'#!/bin/sh\ncd {operator} && PYTHONPATH={ROOT} exec {command} "$1"\n')
    script.chmod(0o755)
    with connect(there.sql, "guestbook") as connection:
        row = connection.execute("SHOW data_directory").fetchone()
        connection.execute("INSERT INTO entry VALUES (3000, 'pushed')")
        name = connection.execute("SELECT pg_walfile_name(pg_current_wal_lsn())").fetchone()
        connection.execute("SELECT pg_switch_wal()")
    assert row is not None
    assert name is not None
    segment = f"{row[0]}/pg_wal/{name[0]}"
    done = subprocess.run([str(script), segment], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{name[0]}: " in done.stdout
    refused = subprocess.run([str(script), f"{row[0]}/PG_VERSION"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "neither a WAL segment nor a timeline history" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.night
def test_the_same_commands_with_a_repository_in_a_directory(there: Production, tmp_path: Path) -> None:
    folder, disk = there.folder(tmp_path / "operator"), tmp_path / "disk"
    disk.mkdir()
    text = (folder / "estate.toml").read_text()
    store = f'[existing.offsite]\ns3 = "{there.offsite.outside}"\nsecrets = "secrets/offsite"\ntls = false\n'
    assert store in text
    text = text.replace(store, f'[existing.offsite]\nwitness = "seen.json"\ndirectory = "{disk}"\n')
    (folder / "estate.toml").write_text(f"{text}\n[backup.retention]\nlast = 1\n")
    assert blackstart(folder, "keys", "new").returncode == 0
    early = blackstart(folder, "backup")
    assert (early.returncode, f"store {disk}: has no .blackstart-repository: is its disk mounted?" in early.stderr) == (
        1,
        True,
    ), early.stderr
    made = blackstart(folder, "repository", "new")
    assert (made.returncode, made.stdout) == (0, f"{disk}: is a repository\n"), made.stderr
    probed = blackstart(folder, "repository", "probe")
    assert (probed.returncode, probed.stdout.count("yes")) == (0, 3), probed.stderr
    checked = blackstart(folder, "check")
    assert (checked.returncode, "store: probed " in checked.stdout) == (0, True), checked.stdout
    for words in (("backup",), ("backup", "--mode", "physical"), ("verify", "--all"), ("verify", "--quick")):
        done = blackstart(folder, *words)
        assert done.returncode == 0, done.stdout + done.stderr
    assert len(json.loads(blackstart(folder, "backups", "--json").stdout)) == 2
    assert "lost if the site were gone now: " in blackstart(folder, "status").stdout
    restored = blackstart(folder, "restore", "--to", "latest", "--into", "restored")
    assert restored.returncode == 0, restored.stderr
    kept = blackstart(folder, "retention")
    assert (kept.returncode, len(kept.stdout.splitlines())) == (0, 3), kept.stderr
    assert not list(disk.rglob("*.part"))
    disk.rename(tmp_path / "elsewhere")
    disk.mkdir()  # the mount point alone
    for words in (("backups",), ("verify",), ("retention",), ("backup",)):
        done = blackstart(folder, *words)
        assert done.returncode in (1, 3)
        assert f"store {disk}: has no .blackstart-repository" in done.stderr
        assert "Traceback" not in done.stderr
    assert list(disk.iterdir()) == []
