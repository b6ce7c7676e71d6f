"""Paths outside its volumes that a declared program may write to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.services.http.outside import outside, paths_in


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("/srv/x", ["/srv/x"]),
        ("/srv/x/", ["/srv/x"]),
        ("--media=/srv/x", ["/srv/x"]),
        ("-d/srv/x", ["/srv/x"]),
        ("file:///srv/x", ["/srv/x"]),
        ("sqlite:////srv/app.db", ["/srv/app.db"]),
        ("echo a > /srv/x; cat /srv/y", ["/srv/x", "/srv/y"]),
        ("/srv/a:/srv/b", ["/srv/a", "/srv/b"]),
        ('{"root": "/srv/x"}', ["/srv/x"]),
        ("../../../x", ["../../../x"]),
        ("media/../../../../x", ["media/../../../../x"]),
        ("--dir=../../..", ["../../.."]),
        ("@{volume:media}/../../../x", ["../../volumes/media/../../../x"]),
        ("@{file:conf}:/srv/x", ["/srv/x"]),
        ("@{volume:media}", []),
        ("@{volume:media}/a/b:@{volume:other}/c", []),
        ("@{volume:media}/../other", []),
        ("media/uploads", []),
        ("../x", []),
        ("http://host.test/a/b?c=/d", []),
        ("postgres://user:word@host:5432/app", []),
        ("~/uploads", []),
        ("a..b", []),
        ("", []),
    ],
)
def test_paths_are_found_in_words_values_lists_and_lines(text: str, paths: list[str]) -> None:
    assert list(paths_in(text)) == paths


def test_what_the_program_may_write_is_named_with_its_key(tmp_path: Path) -> None:
    there, file, script = tmp_path / "my uploads", tmp_path / "app.db", tmp_path / "serve.py"
    there.mkdir()
    file.touch()
    script.touch()
    command = ("python3", str(script), f"--media={there.parent}/new")
    environment = {"MEDIA_ROOT": str(there), "DATABASE": f"sqlite:///{file}", "PYTHONPATH": str(tmp_path)}
    assert list(outside(command, environment)) == [
        f"command: {tmp_path}/new",
        f"environment.MEDIA_ROOT: {there}",
        f"environment.DATABASE: {file}",
    ]


def test_devices_and_folders_of_the_system_are_no_data() -> None:
    environment = {"LOG": "/dev/null", "CERTIFICATES": "/etc/ssl/certs", "PREFIX": "/", "BROWSER": "/usr/bin/browser"}
    assert not list(outside(("program", "/dev/stdout"), environment))
    assert list(outside(("program",), {"CACHE": "/dev/shm/x"})) == ["environment.CACHE: /dev/shm/x"]  # noqa: S108


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_what_the_program_may_not_write_is_not_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert not list(outside(("program", str(tmp_path)), {"ASSETS": str(tmp_path / "new")}))
