"""What a check says that a backup would leave out, of a running primary; and what ends neither check nor backup."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.backup.check import require_backup
from harness.cli.check import report_of
from harness.core.node import Entry
from harness.estate.config import load_config
from harness.estate.report import Report
from harness.postgres.server import connect
from harness.repository.format.recipients import new_pair
from harness.signing import new_signing_pair
from harness.substrate.common.folder_volume import FolderVolume
from tests.cases.production import Production, there

__all__ = ["there"]

pytestmark = pytest.mark.programs
DATABASES = 'databases = ["guestbook"]'
REST = "rest of volume uploads"


@pytest.fixture
def file(there: Production, tmp_path: Path) -> Path:
    """The declaration of an operator who has all keys."""
    folder = there.folder(tmp_path)
    private, public = new_signing_pair()
    keys = {f"recipient-{holder}.pub": new_pair()[1] for holder in ("dr", "escrow")}
    for name, key in {**keys, "writer.pem": private, "writer-1.pub": public}.items():
        (folder / "secrets/primary" / name).write_bytes(key)
    return folder / "estate.toml"


def change(file: Path, before: str, after: str) -> None:
    assert before in file.read_text()
    file.write_text(file.read_text().replace(before, after, 1))


def exclude(file: Path, *names: str) -> None:
    reasons = "".join(f'"{name}" = "not needed"\n' for name in names)
    change(file, "[existing.offsite]", f"[backup.exclude]\n{reasons}[existing.offsite]")


def volume(file: Path, *files: str) -> Path:
    """Declare a volume of which a service declares the folder `media`; return its folder, with these files."""
    change(file, DATABASES, f'{DATABASES}\nfiles = [{{ volume = "uploads", folder = "media" }}]')
    change(file, "[existing.primary]", '[existing.primary]\nvolumes = { uploads = "uploads" }')
    folder = file.parent / "uploads"
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("dear")
    return folder


def said(report: Report) -> tuple[list[str], list[str]]:
    return [str(one) for one in report.defects], [str(one) for one in report.warnings]


@contextmanager
def rejected(there: Production, name: str) -> Iterator[None]:
    """Let the server reject every connection to a new database, as one does whose folder is damaged."""
    with connect(there.sql) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        hba = Path(str((connection.execute("SHOW hba_file").fetchone() or ("",))[0]))
    before = hba.read_text()
    try:
        hba.write_text(f"host {name} all all reject\n{before}")
        with connect(there.sql) as connection:
            connection.execute("SELECT pg_reload_conf()")
        yield
    finally:
        hba.write_text(before)
        with connect(there.sql) as connection:
            connection.execute("SELECT pg_reload_conf()")
            connection.execute(f"DROP DATABASE {name}".encode())


def test_an_excluded_database_that_cannot_be_asked_ends_neither_check_nor_backup(there: Production, file: Path) -> None:
    exclude(file, "database damaged")
    with rejected(there, "damaged"):
        assert said(report_of(file)) == ([], [])
        require_backup(load_config(file))


def test_a_collation_of_another_version_is_a_warning_of_the_check(there: Production, file: Path) -> None:
    with connect(there.sql) as connection:
        connection.execute("UPDATE pg_database SET datcollversion = '0.9' WHERE datname = 'guestbook'")
    try:
        defects, (warning,) = said(report_of(file))
    finally:
        with connect(there.sql) as connection:
            connection.execute("ALTER DATABASE guestbook REFRESH COLLATION VERSION")
    assert defects == []
    assert warning.startswith("database guestbook: collation of the database: indexes were built by version 0.9, and ")


def test_a_database_that_cannot_be_asked_for_its_collations_ends_no_backup_before_it_begins(
    there: Production, file: Path
) -> None:
    """It may be gone when the backup comes to it; the backup says so of what is there."""
    with rejected(there, "passing"):
        require_backup(load_config(file))
        (line,), _ = said(report_of(file))
    assert line.startswith("existing.primary: PostgreSQL at ")


def test_an_excluded_part_of_what_is_absent_is_no_wrong_name(file: Path) -> None:
    """The folder is not mounted, the database not there: whether they have such a part is not known."""
    volume(file)
    change(file, DATABASES, 'databases = ["guestbook", "billing"]')
    exclude(file, REST, "schema pg_own of database billing", "rest of volume upload")
    lines, _ = said(report_of(file))
    assert len([line for line in lines if "uploads is no folder here; mount it there" in line]) == 1
    assert [line for line in lines if line.startswith("backup.exclude: ")] == [
        "backup.exclude: rest of volume upload: there is none to leave out; correct the name, or remove it"
    ]


@pytest.mark.parametrize(
    ("closed", "wanted"),
    [("media/closed", ["guestbook/uploads/media: would not be in a backup: closed: cannot be read: Permission denied; "
                       "put the files themselves there, where backups can read them"]),
     ("closed", [f"{REST}: would not be in a backup: closed: cannot be read: Permission denied; make it a file that "
                 f"backups can read, or exclude '{REST}'"])],
)  # fmt: skip
def test_a_folder_that_cannot_be_listed_is_named_where_a_backup_needs_it(
    file: Path, monkeypatch: pytest.MonkeyPatch, closed: str, wanted: list[str]
) -> None:
    """It ended the check; root may list all folders, so that the refusal is that of a test."""
    folder = volume(file, "media/a", f"{closed}/b")
    inside = FolderVolume._inside

    def refusing(self: FolderVolume, path: str, *more: Any) -> list[Entry]:
        if self.root == folder and path == closed:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return inside(self, path, *more)

    monkeypatch.setattr(FolderVolume, "_inside", refusing)
    report = report_of(file)
    assert said(report) == (wanted, [])
    assert report.covered == ["database guestbook", "guestbook/uploads/media"]


def test_what_is_found_and_no_file_is_named_as_a_backup_names_it(file: Path) -> None:
    folder = volume(file, "media/a", "mail/b", "c")
    (folder / "link").symlink_to("c")
    first, second = said(report_of(file))[0]
    assert first.startswith(f"{REST}: would not be in a backup: no service declares its 2 files outside media: ")
    assert second.startswith(
        f"{REST}: would not be in a backup: link: is a symbolic link within its volume; make it a file"
    )
