"""What n8n needs on DR besides its data: credentials that it sealed are opened, packages of nodes are looked for."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from psycopg.sql import SQL, Identifier
from pydantic import ValidationError

from harness.core.node import Entry
from harness.core.service import Place
from harness.declaration import Surroundings
from harness.parts.programs import program
from harness.postgres.server import connect
from harness.services.n8n.app import N8n
from harness.services.n8n.credentials import DataKey, as_n8n_reads, is_readable
from harness.services.n8n.kind import KIND, N8nTable
from harness.substrate.common.folder_volume import FolderVolume
from harness.substrate.embedded.substrate import Embedded
from harness.substrate.existing.site import ExistingSite
from tests.servers import DatabaseServer, secret_files, start_database

pytestmark = pytest.mark.programs
KEY = "k\u20ac y-\U0001f600"
BEFORE = "the key of before"
NODES = """INSERT INTO workflow_history VALUES ('v1', '[{"type": "n8n-nodes-base.webhook"}]'), ('v2', '[
    {"type": "n8n-nodes-tea.kettle"}, {"type": "CUSTOM.clock"},
    {"type": "@us/n8n-nodes-off.one", "disabled": true}]')"""
TABLES = (
    "CREATE TABLE credentials_entity (id text, name text, type text, data text)",
    'CREATE TABLE workflow_entity (name text, "activeVersionId" text)',
    'CREATE TABLE workflow_history ("versionId" text, nodes json)',
    NODES,
    "INSERT INTO workflow_entity VALUES ('orders', 'v1'), ('draft', NULL)",
)
PACKAGES = (
    'CREATE TABLE installed_packages ("packageName" text)',
    "INSERT INTO installed_packages VALUES ('n8n-nodes-tea'), ('@us/n8n-nodes-off')",
)


def ask_n8n(script: str, *words: str, given: str) -> Any:
    """Return what a script beside this file answers, which runs n8n's own code."""
    argv = [program("node"), str(Path(__file__).with_name(script)), str(Path(program("n8n")).parents[1]), *words]
    return json.loads(subprocess.run(argv, input=given, capture_output=True, text=True, check=True).stdout)


@cache
def sealed(text: str, key: str = KEY) -> dict[str, str]:
    """Return a text as n8n's own code seals it: with its key, and with a data key of either algorithm."""
    made: dict[str, str] = ask_n8n("seal.js", key, given=text)
    return made


def test_what_n8n_sealed_is_opened_with_its_key_and_with_no_other() -> None:
    made = sealed('{"token": "\u00e9"}')
    keys = {"a": DataKey(made["wrapped"], "aes-256-gcm"), "b": DataKey(made["wrapped"], "aes-256-cbc")}
    assert all(is_readable(made[form], KEY, keys) for form in ("legacy", "gcm", "cbc"))
    assert not any(is_readable(made[form], f"{KEY}.", keys) for form in ("legacy", "gcm", "cbc"))
    assert is_readable(made["plain"], KEY, {})
    assert not is_readable(made["plain"], f"{KEY}.", {})
    assert not is_readable(made["gcm"], KEY, {}), "its data key is gone"
    assert not is_readable(made["gcm"], KEY, {"a": DataKey(made["wrapped"], "rot13")})
    assert not is_readable(sealed("[1]")["plain"], KEY, {}), "a credential is an object"
    assert not any(is_readable(data, KEY, keys) for data in ("", "%%%", "a:", "a:AAAA", made["plain"][:40]))


def forms() -> dict[str, tuple[dict[str, DataKey], str]]:
    """Return rows of deployment_key as versions of n8n left them, and the forms of data that n8n then opens."""
    ours, theirs, raw = sealed("{}"), sealed("{}", BEFORE), "ab" * 32

    def rows(gcm: str, cbc: str) -> dict[str, DataKey]:
        return {"a": DataKey(gcm, "aes-256-gcm"), "b": DataKey(cbc, "aes-256-cbc")}

    return {
        "no row": ({}, "plain"),
        "no row for the data without an id": ({"a": DataKey(ours["wrapped"], "aes-256-gcm")}, "plain gcm"),
        "n8n's own key, wrapped": (rows(ours["wrapped"], ours["wrappedOwn"]), "plain gcm"),
        "n8n's own key as it is": (rows(ours["wrapped"], KEY), "plain gcm"),
        "n8n's own key in CBC": (rows(ours["wrapped"], ours["wrappedOwnBefore"]), "gcm"),
        "another key than n8n's own": (rows(ours["wrapped"], ours["wrapped"]), "gcm cbc legacy"),
        "as they are": (rows(raw.upper(), raw), "gcm cbc legacy"),
        "in CBC": (rows(ours["wrappedBefore"], ours["wrappedBefore"]), "gcm cbc legacy"),
        "of the key of before": (rows(theirs["wrapped"], theirs["wrapped"]), ""),
        "of the key of before, in CBC": (rows(theirs["wrappedBefore"], theirs["wrappedBefore"]), ""),
        "damaged": (rows("AQ==", "U2FsdGVk"), ""),
    }


@pytest.mark.night
def test_a_credential_can_be_read_exactly_where_n8n_reads_it() -> None:
    data = {form: sealed("{}")[form] for form in ("plain", "gcm", "cbc", "legacy")}
    cases = {
        name: {
            "key": KEY,
            "rows": [
                {"id": one, "type": "data_encryption", "value": row.wrapped, "algorithm": row.algorithm}
                for one, row in rows.items()
            ],
            "data": data,
        }
        for name, (rows, _opened) in forms().items()
    }
    ours = {name: {form: is_readable(data[form], KEY, rows) for form in data} for name, (rows, _) in forms().items()}
    assert ours == {name: {form: form in opened.split() for form in data} for name, (_, opened) in forms().items()}
    assert ours == ask_n8n("open.js", given=json.dumps(cases))


@pytest.mark.parametrize("written", ["key", " key\r\n", "'key'", '"key"\n', "\tkey "])
def test_a_key_is_taken_without_what_n8n_removes_around_it(written: str) -> None:
    assert as_n8n_reads(written) == "key"


def test_a_key_with_one_quote_or_two_kinds_of_quotes_is_taken_as_it_is() -> None:
    assert [as_n8n_reads(key) for key in ("'key", "'", "'key\"", "k'e'y")] == ["'key", "'", "'key\"", "k'e'y"]


@pytest.fixture(scope="module")
def server(substrate: Embedded, tmp_path_factory: pytest.TempPathFactory) -> DatabaseServer:
    return start_database(substrate.site("dr"), tmp_path_factory.mktemp("dr"))


@pytest.fixture
def place(server: DatabaseServer, tmp_path: Path) -> Iterator[Place]:
    """A site whose database `n8n` has the tables that are asked."""
    server.execute("postgres", "CREATE DATABASE n8n")
    server.execute("n8n", *TABLES)
    yield Place(server.site, server.sql, None, secret_files(tmp_path, {"n8n-key": KEY}))  # type: ignore[arg-type]
    server.execute("postgres", "DROP DATABASE n8n WITH (FORCE)")
    server.site.volume("n8n").remove(".n8n")


def add(server: DatabaseServer, table: str, *row: str) -> None:
    with connect(server.sql, "n8n") as connection:
        connection.execute(SQL("INSERT INTO {} VALUES (%s, %s, %s, %s)").format(Identifier(table)), row)


def lines(place: Place) -> tuple[str, str]:
    credentials, packages = (one.line.removeprefix("database n8n: ") for one in N8n().assertions(place))
    return credentials, packages


def test_every_credential_is_opened_and_one_of_another_key_is_named(server: DatabaseServer, place: Place) -> None:
    ours, theirs = sealed('{"user": "a"}'), sealed('{"user": "a"}', BEFORE)
    add(server, "credentials_entity", "1", "chat", "slackApi", ours["plain"])
    assert lines(place)[0] == "its credentials can be decrypted with n8n-key: all 1 can"
    Path(place.secrets["n8n-key"].removeprefix("file:")).write_text(f" '{KEY}'\r\n")  # n8n removes all of it
    assert lines(place)[0].endswith(": all 1 can")
    server.execute("n8n", "CREATE TABLE deployment_key (id text, type text, value text, algorithm text)")
    add(server, "deployment_key", "a", "data_encryption", ours["wrapped"], "aes-256-gcm")
    add(server, "credentials_entity", "2", "files", "ftp", ours["gcm"])
    assert lines(place)[0].endswith(": all 2 can")
    add(server, "credentials_entity", "3", "old", "ssh", theirs["plain"])
    assert "FAILED: 1 of 3 cannot: 'old' (ssh); enter them anew in n8n" in lines(place)[0]
    add(server, "deployment_key", "b", "data_encryption", theirs["wrappedOwn"], "aes-256-cbc")
    said = "2 of 3 cannot: 'chat' (slackApi), 'old' (ssh); another key wraps b of its table deployment_key: give dr"
    assert said in lines(place)[0]


def test_a_site_without_the_key_and_a_database_of_another_program_are_failed_assertions(
    server: DatabaseServer, place: Place
) -> None:
    place.secrets.clear()  # type: ignore[attr-defined]
    assert lines(place)[0].endswith("FAILED: site dr has no secret 'n8n-key'")
    server.execute("n8n", "DROP TABLE credentials_entity, workflow_entity")
    assert all("FAILED: " in line for line in lines(place))


PUBLISH = "UPDATE workflow_entity SET \"activeVersionId\" = 'v2' WHERE name = 'draft'"
TEA, TEA_FILE = "n8n-nodes-tea, of workflow 'draft'", ".n8n/nodes/node_modules/n8n-nodes-tea/package.json"


def put(place: Place, path: str) -> None:
    with place.site.volume("n8n").open(path, "wb"):
        pass


def packages(place: Place, declared: str | None = None) -> str:
    _credentials, found = N8n(packages=declared).assertions(place)
    return found.line.removeprefix("database n8n: the packages of its nodes are installed: ")


def test_a_package_whose_nodes_are_published_and_that_dr_lacks_is_named(server: DatabaseServer, place: Place) -> None:
    assert packages(place) == "only those that come with n8n"
    server.execute("n8n", *PACKAGES)
    said = "not found on dr, and no published workflow has a node of them: @us/n8n-nodes-off, n8n-nodes-tea"
    assert packages(place, "volume") == said
    server.execute("n8n", PUBLISH)
    said = f"not on dr: CUSTOM, of workflow 'draft', {TEA}; "
    assert packages(place, "volume") == f"FAILED: {said}install them there, or no such workflow runs"
    assert packages(place, "elsewhere") == f"{said}declared as elsewhere"
    remedy = 'see that they are there, or declare packages = "elsewhere" if n8n\'s image or its start brings them'
    assert packages(place) == f"UNKNOWN: {said}{remedy}", "n8n may install them at its start, or have them elsewhere"
    put(place, TEA_FILE)
    put(place, ".n8n/custom/README.md")
    assert packages(place, "volume").startswith("FAILED: not on dr: CUSTOM, of workflow 'draft'; ")
    put(place, ".n8n/custom/dist/clock.node.js")
    assert packages(place).endswith("no published workflow has a node of them: @us/n8n-nodes-off")


def test_a_package_that_nobody_can_look_for_hides_no_other_and_is_no_finding(
    server: DatabaseServer, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.execute("n8n", *PACKAGES, PUBLISH, "INSERT INTO installed_packages VALUES ('../../../../x')")
    put(place, ".n8n/custom/clock.node.js")
    assert packages(place, "volume").startswith(f"FAILED: not on dr: {TEA}; ")
    inspect = FolderVolume.inspect

    def look(volume: FolderVolume, path: str) -> Entry:
        if path == TEA_FILE:
            raise PermissionError(13, "Permission denied")
        return inspect(volume, path)

    monkeypatch.setattr(FolderVolume, "inspect", look)
    said = f"UNKNOWN: not looked for: {TEA} ("
    assert packages(place, "volume").startswith(said)
    assert "[Errno 13] Permission denied); see that they are there" in packages(place, "volume")
    assert packages(place, "elsewhere").endswith("; declared as elsewhere")


def test_an_own_node_behind_a_link_is_no_finding(server: DatabaseServer, place: Place, tmp_path: Path) -> None:
    server.execute("n8n", PUBLISH)
    put(place, TEA_FILE)
    put(place, ".n8n/custom/package.json")
    volume = place.site.volume("n8n")
    assert isinstance(volume, FolderVolume)
    (volume.root / ".n8n/custom/clock").symlink_to(tmp_path)
    said = "UNKNOWN: not looked for: CUSTOM, of workflow 'draft' (.n8n/custom/clock is a symbolic link); "
    assert packages(place, "volume").startswith(said)


def test_packages_on_a_volume_that_is_not_mounted_are_no_finding(server: DatabaseServer, place: Place) -> None:
    server.execute("n8n", PUBLISH)
    away = replace(place, site=ExistingSite("dr", place.site, {}))
    said = f"UNKNOWN: not looked for: CUSTOM, of workflow 'draft', {TEA} (volume n8n of dr is not mounted here); "
    assert packages(away, "volume").startswith(said)


def test_a_type_that_names_no_package_is_shown_in_one_line(server: DatabaseServer, place: Place) -> None:
    odd = """INSERT INTO workflow_history VALUES
        ('v3', '[{"type": "../../x.y"}, {"type": "a\\nb.c"}, {"type": "@n8n/mcp-registry.one"}]')"""
    server.execute("n8n", odd, "UPDATE workflow_entity SET \"activeVersionId\" = 'v3' WHERE name = 'draft'")
    said = "FAILED: not on dr: '', of workflow 'draft', 'a\\nb', of workflow 'draft'; install"
    assert packages(place, "volume").startswith(said)


def test_where_packages_are_is_declared() -> None:
    n8n = KIND.build("n8n", N8nTable(kind="n8n", packages="elsewhere"), Surroundings())
    assert isinstance(n8n, N8n)
    assert n8n.packages == "elsewhere"
    with pytest.raises(ValidationError, match="'volume' or 'elsewhere'"):
        N8nTable.model_validate({"kind": "n8n", "packages": "image"})
