"""`blackstart restore`, killed while its server runs: a sweep finds the server, and all plaintext but --into."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from harness.core.clock import NotYet, wait_until
from harness.postgres.server import connect
from tests.cases.production import Production, begun, blackstart, there
from tests.kills.residue import residue, shared_memory

__all__ = ["there"]


@pytest.fixture(scope="module")
def operator(there: Production, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = there.folder(tmp_path_factory.mktemp("operator"))
    for name in ("tmp", "scratch"):
        (folder / name).mkdir()
    with connect(there.sql, "guestbook") as connection:
        connection.execute("INSERT INTO entry SELECT n, repeat('x', 1000) FROM generate_series(501, 60000) n")
    for words in (("keys", "new"), ("backup", "--mode", "physical")):
        done = blackstart(folder, *words)
        assert done.returncode == 0, done.stderr + done.stdout
    return folder


@pytest.mark.parametrize("how", ["--into", "--database", "--scratch"])
def test_a_sweep_finds_what_a_killed_restore_left(there: Production, operator: Path, how: str) -> None:
    env, earlier = {"TMPDIR": str(operator / "tmp")}, shared_memory()
    words, data = ["--into", "restored"], "restored"
    if how != "--into":
        url = f"postgresql://{there.sql.user}@{there.sql.outside.host}:{there.sql.outside.port}/copy"
        password = operator / "secrets/primary/postgres-superuser"
        words = ["--database", "guestbook", "--into-database", url, "--password", f"file:{password}", "--no-owner"]
        data = "runs/restore-*/blackstart-*/data"
    if how == "--scratch":
        words += ["--scratch", "scratch"]
        data = "scratch/blackstart-*/data"

    def serving() -> None:
        if not list(operator.glob(f"{data}/postmaster.pid")):
            assert running.poll() is None, running.communicate()
            raise NotYet("no server runs on the restored data folder")

    with begun(operator, "restore", *words, **env) as running:
        try:
            wait_until(serving, patience=60, every=0.005)
            running.send_signal(signal.SIGSTOP)  # the server stays for as long as it takes to look
            skipped = blackstart(operator, "sweep", **env)
        finally:
            running.kill()
        _, errors = running.communicate(timeout=60)
    assert running.returncode == -signal.SIGKILL, errors
    assert "skipped: in use by process" in skipped.stdout
    assert any(line.startswith("process ") for line in residue(operator, earlier))
    swept = blackstart(operator, "sweep", **env)
    assert swept.returncode == 0, swept.stderr
    assert (residue(operator, earlier), list((operator / "scratch").iterdir())) == ((), [])


def test_a_restore_that_ends_leaves_no_run(operator: Path) -> None:
    env, earlier = {"TMPDIR": str(operator / "tmp")}, shared_memory()
    done = blackstart(operator, "restore", "--into", "whole", **env)
    assert done.returncode == 0, done.stderr
    assert residue(operator, earlier) == ()
