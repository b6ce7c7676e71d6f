"""`blackstart targets` and `keys new targets`: from nothing to a signed list that `check` and the interlock take."""

from __future__ import annotations

import json
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.postgres.identity import system_facts
from harness.restore_test.targets import PRIVATE, PUBLIC, signature_of
from harness.s3.client import ensure_bucket
from harness.signing import new_signing_pair
from tests.cases.production import blackstart
from tests.estate.conftest import existing, servers
from tests.estate.existing_servers import BUCKET, TAG, ExistingServers

__all__ = ["existing", "servers"]
pytestmark = pytest.mark.programs
LIST = "drill-targets.toml"
KEY = f"secrets/targets/{PRIVATE}"


@pytest.fixture
def folder(existing: ExistingServers) -> Path:
    """An operator's folder with a declaration of the DR site, a new key, and no list."""
    existing.declare()
    file = existing.folder / "estate.toml"
    file.write_text(f'{file.read_text()}[existing]\ntargets_key = "{PUBLIC}"\n')
    done = blackstart(existing.folder, "keys", "new", "targets")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [KEY, str(existing.folder / PUBLIC)]
    return existing.folder


def listed(folder: Path) -> None:
    """What `targets show` prints, signed."""
    shown = blackstart(folder, "targets", "show", "--bucket", BUCKET)
    assert shown.returncode == 0, shown.stderr
    (folder / LIST).write_text(shown.stdout)
    done = blackstart(folder, "targets", "sign", LIST, "--key", KEY)
    assert (done.returncode, done.stdout) == (0, f"{LIST}.dsse.json\n"), done.stderr


def said_of_targets(folder: Path) -> list[str]:
    lines = blackstart(folder, "check").stdout.splitlines()
    return [line.removeprefix("estate.toml: ") for line in lines if "existing.targets" in line]


def test_the_private_key_is_for_its_owner_alone(folder: Path) -> None:
    assert stat.S_IMODE((folder / KEY).stat().st_mode) == 0o600
    assert "PRIVATE KEY" not in (folder / PUBLIC).read_text()
    again = blackstart(folder, "keys", "new", "targets")
    assert again.returncode == 2
    assert "is not overwritten" in again.stderr


def test_the_public_key_is_put_where_it_is_declared(tmp_path: Path, existing: ExistingServers) -> None:
    existing.declare()
    file = existing.folder / "estate.toml"
    file.write_text(f'{file.read_text()}[existing]\ntargets_key = "pinned/by-us.pub"\n')
    done = blackstart(existing.folder, "keys", "new", "targets", str(tmp_path / "mine"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "mine" / PRIVATE).is_file()
    assert (existing.folder / "pinned/by-us.pub").is_file()


def test_what_show_prints_can_be_signed_and_is_taken(folder: Path, existing: ExistingServers) -> None:
    listed(folder)
    (target,) = tomllib.loads((folder / LIST).read_text())["target"]
    system = system_facts(existing.site.place.sql).identifier
    assert target == {"name": "dr", "system": system, "bucket": BUCKET, "tag": TAG}
    assert said_of_targets(folder) == []


def test_show_as_json_has_every_tag(folder: Path) -> None:
    done = blackstart(folder, "targets", "show", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["tags"][BUCKET] == TAG
    assert (found["cluster"], found["unread"]) == ("", [])


def test_show_names_what_cannot_be_read_and_prints_the_rest(folder: Path, existing: ExistingServers) -> None:
    ensure_bucket(existing.site.place.s3, "untagged", versioning=False)
    done = blackstart(folder, "targets", "show", "--bucket", "untagged")
    assert done.returncode == 3
    assert "bucket untagged has no tag `blackstart-estate`; tag one that only this site has" in done.stderr
    assert "system = " in done.stdout
    assert "tag = " not in done.stdout
    file = folder / "estate.toml"
    file.write_text(file.read_text().replace(str(existing.site.place.sql.outside), "127.0.0.1:9"))
    done = blackstart(folder, "targets", "show")
    assert done.returncode == 3
    assert "database system cannot be read: " in done.stderr
    assert f'tag = "{TAG}"' in done.stdout


def append(folder: Path) -> object:
    return (folder / LIST).write_text((folder / LIST).read_text() + "# one more\n")


def other_system(folder: Path) -> object:
    text = (folder / LIST).read_text()
    number = tomllib.loads(text)["target"][0]["system"]
    (folder / LIST).write_text(text.replace(number, "1234567890"))
    return blackstart(folder, "targets", "sign", LIST, "--key", KEY)


def other_key(folder: Path) -> object:
    (folder / "other.pem").write_bytes(new_signing_pair()[0])
    return blackstart(folder, "targets", "sign", LIST, "--key", "other.pem")


def undeclared(folder: Path) -> object:
    file = folder / "estate.toml"
    return file.write_text(file.read_text().replace("targets_key", "# targets_key"))


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "changed": (append, "existing.targets: {}: allowlist of drill targets was changed after it was signed"),
    "unsigned": (lambda f: signature_of(f / LIST).unlink(), "existing.targets: {}: unsigned allowlist"),
    "no list": (lambda f: (f / LIST).unlink(), "existing.targets: {}: no allowlist of drill targets"),
    "another site": (other_system, "existing.targets: site dr refused as a drill target: its database system is "),
    "another key": (other_key, "existing.targets: {}.dsse.json: untrusted allowlist of drill targets: signed by "),
    "no key": (lambda f: (f / PUBLIC).unlink(), "existing.targets_key: "),
    "no key declared": (undeclared, "existing.targets_key: no key is declared"),
}


@pytest.mark.parametrize("name", WRONG)
def test_check_says_what_is_wrong_with_the_list(folder: Path, name: str) -> None:
    damage, said = WRONG[name]
    listed(folder)
    damage(folder)
    (line,) = said_of_targets(folder)
    assert line.startswith(said.format(folder / LIST)), line


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("sign", "none.toml", "--key", KEY), 2, "none.toml: cannot be read (No such file or directory)"),
        (("sign", LIST, "--key", "none.pem"), 2, "none.pem: No such file or directory"),
        (("sign", LIST, "--key", PUBLIC), 2, "not an unencrypted private key"),
        (("sign", LIST), 2, "Missing parameter: key"),
        (("sign", "estate.toml", "--key", KEY), 2, "estate.toml: unreadable allowlist of drill targets"),
        (("show", "--config", "none.toml"), 2, "none.toml: No such file or directory"),
    ],
)
def test_a_mistake_is_one_line_and_signs_nothing(folder: Path, words: tuple[str, ...], code: int, said: str) -> None:
    listed(folder)
    before = signature_of(folder / LIST).read_bytes()
    done = blackstart(folder, "targets", *words)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert signature_of(folder / LIST).read_bytes() == before
    assert not signature_of(folder / "estate.toml").exists()
