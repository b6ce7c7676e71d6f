from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from notifier.errors import ConfigurationError
from notifier.settings import FROM_FILES, PORTS, Settings, from_environment, variable

FULL = {variable(one.name): "5432" if one.name in PORTS else "text-of-it" for one in fields(Settings)}


def test_settings_are_read_from_the_environment() -> None:
    settings = from_environment(FULL)
    assert (settings.db_port, settings.port, settings.s3_bucket) == (5432, 5432, "text-of-it")


@pytest.mark.parametrize("name", FULL)
def test_a_missing_variable_is_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^not set: {name}$"):
        from_environment({**FULL, name: ""})


@pytest.mark.parametrize("name", FROM_FILES)
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_secret_is_read_from_the_file_that_its_variable_names(name: str, end: str, tmp_path: Path) -> None:
    secret = tmp_path / "of the service"
    secret.write_bytes(f" a\nsecret{end}".encode())
    without = {key: text for key, text in FULL.items() if key != variable(name)}
    assert getattr(from_environment({**without, f"{variable(name)}_FILE": str(secret)}), name) == " a\nsecret"


def test_a_file_of_a_secret_that_serves_nothing_is_named(tmp_path: Path) -> None:
    without = {key: text for key, text in FULL.items() if key != "NOTIFIER_S3_SECRET"}
    (tmp_path / "empty").touch()
    (tmp_path / "binary").write_bytes(b"\xff")
    for name, expected in (
        ("lost", r"cannot be read \(No such file or directory\)"),
        ("empty", "is empty"),
        ("binary", r"cannot be read \(not UTF-8 text\)"),
        ("", r"cannot be read \(Is a directory\)"),
    ):
        with pytest.raises(ConfigurationError, match=f"^NOTIFIER_S3_SECRET_FILE: .*{name} {expected}$"):
            from_environment({**without, "NOTIFIER_S3_SECRET_FILE": str(tmp_path / name)})
    with pytest.raises(ConfigurationError, match=r"^NOTIFIER_S3_SECRET and NOTIFIER_S3_SECRET_FILE are both set"):
        from_environment({**FULL, "NOTIFIER_S3_SECRET_FILE": str(tmp_path / "empty")})


@pytest.mark.parametrize("text", ["0", "65536", "-1", "http", "8_0", "²"])
def test_an_invalid_port_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"NOTIFIER_PORT: .* is not a port"):
        from_environment({**FULL, "NOTIFIER_PORT": text})


def test_secrets_are_not_in_the_repr() -> None:
    names = ("NOTIFIER_DB_PASSWORD", "NOTIFIER_S3_ACCESS", "NOTIFIER_S3_SECRET", "NOTIFIER_TARGET")
    assert "hunter2" not in repr(from_environment({**FULL, **dict.fromkeys(names, "hunter2")}))


def test_the_program_reports_missing_variables_in_one_line() -> None:
    done = subprocess.run(
        (sys.executable, "-m", "notifier"), env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith(b"notifier: not set: NOTIFIER_DB_HOST, ")
    assert done.stderr.count(b"\n") == 1
