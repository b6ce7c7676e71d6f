from __future__ import annotations

import subprocess
import sys
from dataclasses import fields

import pytest

from notifier.errors import ConfigurationError
from notifier.settings import PORTS, Settings, from_environment, variable

FULL = {variable(one.name): "5432" if one.name in PORTS else "text-of-it" for one in fields(Settings)}


def test_settings_are_read_from_the_environment() -> None:
    settings = from_environment(FULL)
    assert (settings.db_port, settings.port, settings.s3_bucket) == (5432, 5432, "text-of-it")


@pytest.mark.parametrize("name", FULL)
def test_a_missing_variable_is_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^not set: {name}$"):
        from_environment({**FULL, name: ""})


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
