"""What is odd in a declaration is one clear line of `blackstart check` each, or it is taken as it was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.check import report_of
from harness.core.errors import UsageError
from tests.cases.production import DECLARATION, blackstart

RIGHT = DECLARATION.format(offsite="127.0.0.1:9", read_only="true").split("[existing")[0]
OTHER = """
[services.other]
kind = "http"
command = ["python3", "guestbook.py"]
image = "notifier"
prefix = "/other"
keys = [{ path = "/other/a", status = 200, contains = "x" }]
"""
DATABASES = 'databases = ["guestbook"]'
GUESTBOOK = "[services.guestbook]"


def check(folder: Path, text: str | bytes) -> list[str]:
    """Return the lines of the check of a declaration."""
    file = folder / "estate.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return [str(defect) for defect in report_of(file).defects]


def with_more(line: str) -> str:
    """Return the declaration with another line in the table of the guestbook."""
    return RIGHT.replace(DATABASES, f"{DATABASES}\n{line}")


@pytest.mark.parametrize(
    "text",
    [
        f"\ufeff{RIGHT}",
        RIGHT.replace("\n", "\r\n"),
        RIGHT.replace(" = ", "\t=\t"),
        RIGHT + "[backup]\nparallel = 4.0\n",
    ],
    ids=["byte order mark", "CRLF", "tabs", "4.0"],
)
def test_what_is_meant_is_taken(tmp_path: Path, text: str) -> None:
    assert check(tmp_path, text) == []


NOT_READ: dict[str, tuple[str | bytes, str]] = {
    "latin 1": (RIGHT.encode().replace(b"guests.test", b"gu\xe9sts"), r"not UTF-8 \(byte 37\); save it as UTF-8"),
    "UTF-16": (RIGHT.encode("utf-16"), r"not UTF-8 \(byte 1\); save it as UTF-8"),
    "a table twice": (RIGHT + '[estate]\nname = "x"\n', r"Cannot declare \('estate',\) twice"),
    "a key twice": (RIGHT.replace("[estate]", '[estate]\nname = "x"'), "Cannot overwrite a value"),
}


@pytest.mark.parametrize("name", NOT_READ)
def test_what_is_no_toml_is_named(tmp_path: Path, name: str) -> None:
    text, said = NOT_READ[name]
    with pytest.raises(UsageError, match=said):
        check(tmp_path, text)


WRONG: dict[str, tuple[str, str]] = {
    "empty": ("", "top level: needs estate, sites, services"),
    "a text for a list": (RIGHT.replace(DATABASES, 'databases = "guestbook"'), "databases: must be a list, in square"),
    "a number in a list": (RIGHT.replace(DATABASES, "databases = [1]"), "databases.0: must be a text, in quotes"),
    "true for a number": (RIGHT + "[backup]\nparallel = true\n", "backup.parallel: must be a number, not true"),
    "true for seconds": (RIGHT + "[backup]\nwal_seconds = true\n", "backup.wal_seconds: must be a number, not true"),
    "a number in quotes": (RIGHT + '[backup]\nparallel = "4"\n', "backup.parallel: must be a number, without quotes"),
    "a negative number": (RIGHT + "[backup]\nparallel = -4\n", "backup.parallel: must be greater than or equal to 2"),
    "no number": (RIGHT + "[backup]\nwal_seconds = nan\n", "backup.wal_seconds: must be a finite number, not nan"),
    "infinite": (RIGHT + "[backup]\nbandwidth = 1e400\n", "backup.bandwidth: must be a finite number, not inf"),
    "a huge number": (RIGHT + f"[backup]\nlock_days = {10**30}\n", "backup.lock_days: must be less than or equal to"),
    "days of no base backups": (
        RIGHT + "[backup]\nfull_days = 7\n", 'backup: full_days: there are no base backups; set mode = "physical"'),
    "an assertion of nan": (
        RIGHT + '[[databases.guestbook.assertions]]\nquery = "SELECT 1"\nreturns = nan\n', "not nan"),
    "a list for a table": (RIGHT + "[[backup]]\nparallel = 4\n", "backup: must be a table"),
    "a service with two brackets": (
        RIGHT.replace(GUESTBOOK, "[[services.guestbook]]"), "services.guestbook: must be a table"),
    "a service with a space": (
        RIGHT.replace(GUESTBOOK, '[services."guest book"]'), "guest book: not a valid name here: must be"),
    "a long name": (RIGHT.replace(GUESTBOOK, f"[services.{'g' * 5000}]"), f"services.{'g' * 60}...: not a valid name"),
    "the name of a server": (RIGHT.replace(GUESTBOOK, "[services.postgres]"), "'postgres' is the site's own server"),
    "a database without a name": (RIGHT.replace(DATABASES, 'databases = [""]'), "databases.0: a name in PostgreSQL"),
    "a database of 64 bytes": (
        RIGHT.replace(DATABASES, f'databases = ["{"ä" * 32}"]'), "databases.0: a name in PostgreSQL has 1 to 63 bytes"),
    "a zero byte": (RIGHT.replace(DATABASES, 'databases = ["a\\u0000"]'), "databases: has a zero byte in it"),
    "a database twice": (RIGHT.replace(DATABASES, 'databases = ["a", "a"]'), "databases: a is declared twice"),
    "one prefix for two": (RIGHT + OTHER.replace("/other", "/guestbook/"), "prefix /guestbook is that of guestbook"),
    "a prefix with a space": (RIGHT.replace('prefix = "/g', 'prefix = "/ g'), "prefix: '/ guestbook' is no path"),
    "one bucket for two": (
        with_more('buckets = [{ name = "media" }]') + OTHER + 'buckets = [{ name = "media" }]\n',
        "services.other: bucket media is declared by guestbook as well"),
    "a folder in another's": (
        with_more('files = [{ volume = "media" }]') + OTHER + 'files = [{ volume = "media", folder = "a/b" }]\n',
        "services.other: volume media, folder a/b/ is declared by guestbook as well"),
    "the server's own volume": (with_more('files = [{ volume = "postgres" }]'), "'postgres' is the volume of"),
    "a bucket with two points": (with_more('buckets = [{ name = "a..b" }]'), "buckets.0.name: must match"),
    "a role that is reserved": (with_more('role = "pg_monitor"'), "role: 'pg_monitor' is no name of a role"),
    "a variable with =": (with_more('environment = { "A=B" = "1" }'), "environment: 'A=B' is no name of a variable"),
    "a placeholder of no kind": (with_more('environment = { A = "@{ports:http}" }'), "@{ports:http}: no such"),
    "a port of no name": (with_more('environment = { A = "@{port:web}" }'), "port: no 'web' in the ports"),
    "a command without a program": (
        RIGHT.replace('["python3", "guestbook.py"]', '[""]'), "command: its first word is empty"),
    "an exclusion without reason": (RIGHT + '[backup.exclude]\n"database x" = " "\n', "database x: needs a reason"),
    "an exclusion of nothing": (RIGHT + '[backup.exclude]\n"database  " = "r"\n', "is not `database NAME`, "),
    "an exclusion of half": (RIGHT + '[backup.exclude]\n"schema x" = "r"\n', "'schema x' is not `database NAME`"),
    "a long zone": (RIGHT.replace("guests.test", ".".join(["a" * 60] * 6)), "estate.zone: must have at most 253"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_odd_is_a_clear_line(tmp_path: Path, name: str) -> None:
    text, said = WRONG[name]
    found = check(tmp_path, text)
    assert [line for line in found if said in line], found
    for line in found:
        assert len(line) < 400
        assert line.isprintable()
        assert "tuple" not in line


def test_all_of_them_are_said_at_once(tmp_path: Path) -> None:
    text = with_more('role = "public"').replace(DATABASES, 'databases = ["guestbook", 5]').replace("127.0.0.3", "dr")
    (tmp_path / "mine.toml").write_text(text + '[backup]\nparallel = "4"\n')
    done = blackstart(tmp_path, "check", "--config", "mine.toml")
    assert (done.returncode, done.stderr) == (2, "")
    where = ("services.guestbook.role", "services.guestbook.databases.1", "sites.dr.edge", "backup.parallel")
    for one in where:
        assert sum(f"mine.toml: {one}: " in line for line in done.stdout.splitlines()) == 1, done.stdout
    assert done.stdout.splitlines()[-1] == "4 findings"
