"""Entry point of the baked postgres image, with programs that record their arguments in place of PostgreSQL's."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from harness.images.build import recipes

SCRIPT = Path(recipes.__file__).parent / "entrypoints/postgres.sh"
NOTE = (
    'printf "%s" "${0##*/}" >>"$NOTES"; for word in "$@"; do printf "|%s" "$word" >>"$NOTES"; done; echo >>"$NOTES"\n'
)
PROGRAMS = {
    "mkdir": 'case "$*" in */var/run/postgresql) echo refused >&2; exit 1 ;; esac\nexec /bin/mkdir "$@"\n',
    "initdb": 'touch "$PGDATA/pg_hba.conf"\n',
    # like pg_ctl, which passes the options to a shell
    "pg_ctl": 'case "$*" in *start) eval "set -- $4"; printf "server" >>"$NOTES"; '
    'for word in "$@"; do printf "|%s" "$word" >>"$NOTES"; done; echo >>"$NOTES" ;; esac\n',
    "psql": 'echo "where|$PGHOST|$PGHOSTADDR|$PGPASSWORD" >>"$NOTES"; exit ${PSQL:-0}\n',
    "postgres": "",
    "getent": "",
}
NOTED = {"initdb", "psql", "postgres"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    for name, text in PROGRAMS.items():
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/sh\n{NOTE if name in NOTED else ''}{text}")
        program.chmod(0o755)
    (tmp_path / "password").write_text("it's secret\n")
    return tmp_path


def start(place: Path, *args: str, **env: str) -> tuple[int, list[str]]:
    """Run the script; return its exit code and the recorded arguments."""
    notes = place / "notes"
    notes.unlink(missing_ok=True)
    given = {"PATH": f"{place}/bin:{os.environ['PATH']}", "PGDATA": f"{place}/data", "NOTES": str(notes)}
    given |= {"TMPDIR": str(place), "POSTGRES_PASSWORD_FILE": f"{place}/password", "PGHOST": "/none"}
    done = subprocess.run(
        ["/bin/sh", str(SCRIPT), *args], env={**given, **env}, timeout=30, capture_output=True, check=False
    )
    return done.returncode, notes.read_text().splitlines()


def test_the_first_start_initializes_through_the_default_socket_with_the_same_arguments(place: Path) -> None:
    args = ("-c", 'cluster_name=it\'s a "site"', "-c", "unix_socket_directories=/tmp,/var/run/postgresql")
    code, notes = start(place, *args, POSTGRES_DB="estate", PGHOSTADDR="192.0.2.1")
    assert code == 0
    first, server, psql, where, last = notes
    assert first.startswith(f"initdb|--pgdata={place}/data|--username=postgres|")
    assert server == "|".join(("server", *args, "-c", "listen_addresses=", "-p", "5432"))
    assert psql.endswith("--username|postgres|--dbname|postgres|--set|db=estate")
    assert where == "where|/var/run/postgresql||it's secret"
    assert last == "|".join(("postgres", *args))


def test_a_failed_initialization_ends_the_first_start(place: Path) -> None:
    code, notes = start(place, "postgres", PSQL="2")
    assert code == 2
    assert notes[-1].startswith("where|")


def test_the_second_start_only_runs_the_server(place: Path) -> None:
    (place / "data").mkdir()
    (place / "data/PG_VERSION").write_text("18\n")
    assert start(place, "postgres", "-c", "work_mem=8MB") == (0, ["postgres|-c|work_mem=8MB"])
