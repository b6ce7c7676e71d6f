"""The command that rewinds an old primary, with a declared repository: it changes nothing without its two options."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.core.clock import NotYet, wait_until
from harness.core.errors import HarnessError
from harness.core.service import Sql
from harness.estate.site import DATABASE
from harness.postgres import server as postgres
from harness.postgres.server import connect
from tests.cases.production import Production, blackstart, there
from tests.physical.test_commands import receiving
from tests.servers import embedded

__all__ = ["there"]


def lines(sql: Sql) -> int:
    with connect(sql, "guestbook") as connection:
        row = connection.execute("SELECT count(*) FROM entry").fetchone()
    assert row is not None
    return int(row[0])


def await_lines(sql: Sql, expected: int) -> None:
    def there_are() -> None:
        try:
            found = lines(sql)
        except HarnessError as error:
            raise NotYet(str(error)) from None
        if found != expected:
            raise NotYet(f"{found} rows")

    wait_until(there_are, patience=30)


def write(sql: Sql, first: int, last: int) -> None:
    with connect(sql, "guestbook") as connection:
        connection.execute("INSERT INTO entry SELECT n, 'more' FROM generate_series(%s::int, %s) n", (first, last))


def test_an_old_primary_follows_the_server_that_was_restored_and_promoted(
    there: Production, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = there.folder(tmp_path / "operator")
    node, volume = there.primary.nodes[DATABASE], there.primary.site.volume(postgres.SUPERUSER)
    data, secret = volume.root / "data", there.sql.password_ref  # type: ignore[attr-defined]
    assert blackstart(folder, "keys", "new").returncode == 0
    with embedded(tmp_path_factory.mktemp("promoted")) as substrate:
        site = substrate.site("dr")
        into = site.volume(postgres.SUPERUSER).root / "data"  # type: ignore[attr-defined]
        with receiving(folder):
            taken = blackstart(folder, "backup", "--mode", "physical")
        assert taken.returncode == 0, taken.stderr
        restored = blackstart(folder, "restore", "--into", str(into))
        assert restored.returncode == 0, restored.stderr
        write(there.sql, 1001, 1010)
        secrets = {postgres.SUPERUSER_PASSWORD: secret}
        promoted = postgres.sql_of(site.launch(postgres.server_spec(site, secrets=secrets)), secret)
        write(promoted, 2001, 2003)
        passwords = folder / "pgpass"
        passwords.touch(mode=0o600)
        passwords.write_text(f"*:*:*:*:{Path(secret.removeprefix('file:')).read_text().strip()}\n")
        url = f"postgresql://postgres@{promoted.outside}"
        words = ("standby", "rewind", str(data), "--promoted", url, "--password", secret, "--passfile", str(passwords))
        running = blackstart(folder, *words)
        assert (running.returncode, f"{data}: a server runs on it" in running.stderr) == (3, True), running.stderr
        node.kill()
        (folder / "secrets/dr/recipient.pem").rename(folder / "recipient.pem")  # all WAL is in the data folder
        control = (data / "global/pg_control").read_bytes()
        said = blackstart(folder, *words)
        lost = r"\nLOST with --apply --discard (0/\w+): WAL from \1 to 0/\w+ of timeline 1, in which 1 transaction"
        fork = re.search(lost, said.stdout)
        assert fork is not None, said.stdout + said.stderr
        for code, why, more in (
            (3, f"--discard {fork[1]} gives it up", ("--apply",)),
            (3, f"--discard {fork[1]} gives it up", ("--apply", "--discard", "0/1")),
            (2, "--discard 'all': no position in the WAL", ("--apply", "--discard", "all")),
            (2, "names a database", ("--promoted", f"{url}/shop")),
            (2, "--passfile passwords: no such file", ("--passfile", "passwords", "--apply", "--discard", fork[1])),
        ):
            refused = blackstart(folder, *words, *more)
            assert (refused.returncode, why in refused.stderr) == (code, True), refused.stderr
        assert (data / "global/pg_control").read_bytes() == control
        done = blackstart(folder, *words, "--apply", "--discard", fork[1])
        assert (done.returncode, f"\nREWOUND {data}: follows " in done.stdout) == (0, True), done.stdout + done.stderr
        node.start()
        await_lines(there.sql, 503)
        assert not list((folder / "runs").glob("rewind*"))
        node.kill()
        again = blackstart(folder, *words)
        assert (again.returncode, again.stdout.splitlines()[-1][:17]) == (0, "nothing to rewind"), again.stderr
