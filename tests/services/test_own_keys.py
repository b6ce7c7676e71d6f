"""Key functions of one's own data in the tables of the kinds `odoo` and `n8n`: what is asked, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import Finding, HarnessError
from harness.core.service import Answer
from harness.estate.config import Config
from harness.estate.kinds import KINDS
from harness.estate.registry import build_services, store_clients
from harness.patience import PATIENCE
from harness.traffic.door import GATEWAY_KEY

KEY = {"path": "/web/login", "contains": "csrf_token"}
HOOK = {"method": "POST", "path": "/webhook/orders", "json": {"n": 1}, "contains": "accepted"}
SECRETS = dict.fromkeys(("odoo-admin", GATEWAY_KEY), "file:never-read")


class Absent:
    """A public door behind which nothing is registered."""

    def request(self, *_words: Any, **_more: Any) -> Answer:
        return Answer(404, b"", {})


def config(**services: Mapping[str, object]) -> Config:
    sites = {"primary": {"edge": "127.0.0.2"}, "dr": {"edge": "127.0.0.3"}}
    tables = {name: {"kind": name, **table} for name, table in services.items()}
    return Config.model_validate({"estate": {"name": "e", "zone": "e.test"}, "sites": sites, "services": tables})


def names(declared: Config, service: str, secrets: dict[str, str]) -> list[str]:
    (made,) = (one for one in build_services(declared) if one.name == service)
    return [function.name for function in made.key_functions(secrets)]


def test_declared_keys_take_the_place_of_those_of_the_example_shop() -> None:
    gateway = {"needs": ("odoo",)}
    own = config(odoo={"keys": [KEY, {**KEY, "name": "again"}], "login": "boss", "role": "odoo17"}, gateway=gateway)
    assert names(own, "odoo", SECRETS) == [
        *("log in", "load every installed module", "open the newest attachments", "show the login page"),
        *("GET /web/login", "again"),
    ]
    (node,) = (one for one in build_services(own) if one.name == "odoo")
    assert node.program.role == "odoo17"  # type: ignore[attr-defined]
    assert node.sources().role == "odoo17"
    assert store_clients(own) == (), "their clients enter orders of the example shop"
    assert "read a known order" in names(config(odoo={}, gateway=gateway), "odoo", SECRETS)
    assert len(store_clients(config(odoo={}, gateway=gateway))) == 1


def test_declared_webhooks_take_the_place_of_the_example_workflow() -> None:
    gateway = {"needs": ("n8n",)}
    own = config(n8n={"keys": [HOOK], "database": "flows"}, gateway=gateway)
    assert names(own, "n8n", SECRETS) == ["POST /webhook/orders"]
    (made,) = (one for one in build_services(own) if one.name == "n8n")
    assert made.sources().databases == ("flows",)
    assert store_clients(own) == ()
    with pytest.raises(HarnessError, match="n8n: the clients have no secret 'gateway-key'"):
        names(own, "n8n", {})


def test_an_odoo_of_another_name_has_the_secrets_that_its_program_asks_for() -> None:
    table = config(erp={"kind": "odoo"}).services["erp"]
    assert [spec.name for spec in KINDS["odoo"].secrets("erp", table)] == ["odoo-db", "odoo-admin"]


def test_two_services_with_one_role_and_two_passwords_are_refused() -> None:
    said = "services.n8n: role 'flows' is that of odoo as well, .*: there it is the secret odoo-db, here n8n-db; give"
    with pytest.raises(ValueError, match=said):
        config(odoo={"role": "flows"}, n8n={"database": "flows"})
    own = {"kind": "http", "command": ["x"], "prefix": "/own", "keys": [{**KEY, "path": "/own"}], "role": "both"}
    other = {**own, "prefix": "/other", "keys": [{**KEY, "path": "/other"}]}
    config(own=own, other=other)  # their secret is named after the role: it is one


@pytest.mark.parametrize("path", ["/webhook", "/webhook/orders", "/web%68ook/orders", "//webhook/orders"])
def test_a_key_function_that_another_service_answers_is_refused(path: str) -> None:
    said = f"services.odoo.keys: GET {path}: {path} is answered by n8n, not by odoo; correct the path"
    with pytest.raises(ValueError, match=re.escape(said)):
        config(odoo={"keys": [{**KEY, "path": path}]}, n8n={})
    config(odoo={"keys": [{**KEY, "path": "/webhooks"}]}, n8n={"keys": [HOOK]})
    inner = {
        "kind": "http",
        "command": ["x"],
        "prefix": "/webhook/orders",
        "keys": [{**KEY, "path": "/webhook/orders"}],
    }
    with pytest.raises(ValueError, match="/webhook/orders is answered by inner, not by n8n"):
        config(n8n={"keys": [HOOK]}, inner=inner)


def test_a_declared_webhook_that_is_not_published_is_a_finding_with_its_cause(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(PATIENCE, "n8n_webhook", 0.1)
    (secret := tmp_path / "key").write_text("k")
    (made,) = (one for one in build_services(config(n8n={"keys": [HOOK]})) if one.name == "n8n")
    (function,) = made.key_functions({GATEWAY_KEY: f"file:{secret}"})
    with pytest.raises(Finding, match=r"answered 404.*trigger beside its webhook is contained \(unpublished\)"):
        function.check(Absent())


@pytest.mark.parametrize(
    ("kind", "table", "said"),
    [
        ("odoo", {"keys": [KEY, KEY]}, "keys: GET /web/login is declared twice; remove one"),
        (
            "odoo",
            {"keys": [{**KEY, "reads": ["files"]}]},
            "keys: reads: the newest attachments are opened anyway; remove files",
        ),
        (
            "odoo",
            {"keys": [{**KEY, "name": "log in"}]},
            "keys: 'log in' is the name of a key function that every",
        ),
        (
            "odoo",
            {"databases": ["a", "b"], "keys": [{**KEY, "name": "log in (b)"}]},
            r"keys: 'log in \(b\)' is the name",
        ),
        ("odoo", {"keys": [{"path": "/web/login"}]}, "asserts nothing but the status"),
        ("odoo", {"role": "pg_odoo\0"}, "role"),
        ("odoo", {"login": ""}, "login"),
        ("n8n", {"keys": [{**HOOK, "path": "/orders"}]}, "/orders is answered by no service, not by n8n"),
        (
            "odoo",
            {"keys": [{**KEY, "path": "/.gateway/%70ing?a"}]},
            r"services.odoo.keys: GET /.gateway/%70ing\?a: /.gateway/%70ing is answered by the gateway itself, not by",
        ),
        ("n8n", {"keys": [{**HOOK, "reads": ["n8n"]}]}, "no answer of an n8n shows a file of its volume; remove n8n"),
        ("n8n", {"database": ""}, "database"),
        (
            "odoo",
            {"login": "boss"},
            r"login: the example shop has 'admin' alone; add \[\[keys\]\] of your own, or remove it",
        ),
        ("odoo", {"role": "pg_x"}, "'pg_x' is no name of a role: PostgreSQL has reserved it"),
        ("odoo", {"role": " odoo "}, "' odoo ' has white space at its begin or end"),
        ("odoo", {"role": "a\nadmin_passwd = x"}, r"must be one line without control characters \(U\+000A\)"),
        ("odoo", {"role": "@{secret:odoo-db}"}, "has @{ in it, which begins a placeholder"),
        ("odoo", {"databases": ["a", "a"]}, "databases: a is declared twice; remove one"),
        ("odoo", {"databases": ["a" * 80]}, "a name in PostgreSQL has 1 to 63 bytes"),
        ("odoo", {"databases": ["template1"]}, "'template1' is PostgreSQL's template"),
        ("odoo", {"login": " ", "keys": [KEY]}, "must have something in it"),
        ("odoo", {"login": "a\tb", "keys": [KEY]}, "must be one line without control characters"),
        ("n8n", {"database": "pg_flows"}, "'pg_flows' is no name of a role"),
        ("n8n", {"database": "template1"}, "'template1' is PostgreSQL's template"),
        ("n8n", {"database": "@{x}"}, "has @{ in it"),
        ("n8n", {"database": "a\nb"}, "must be one line"),
    ],
)
def test_a_mistake_in_such_a_table_is_named(kind: str, table: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        config(**{kind: table})
