"""What can be wrong in a table of kind `http` is refused when it is read, with the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from harness.estate.config import Config
from harness.services.http.table import HttpTable

KEY = {"path": "/own/entries", "contains": "hello"}
GOOD: dict[str, Any] = {
    "kind": "http",
    "command": ["python3", "own.py", "@{volume:papers}"],
    "environment": {"TOKEN": "@{secret:token}", "PASSWORD": "@{secret:db-password}"},
    "secrets": {"token": "env:TOKEN"},
    "databases": ["own"],
    "files": [{"volume": "papers"}],
    "buckets": [{"name": "covers"}],
    "prefix": "/own",
    "keys": [{**KEY, "reads": ["papers", "covers"]}],
}


def read(**more: object) -> HttpTable:
    return HttpTable.model_validate({**GOOD, **more}, context={"folder": Path(__file__).parent})


def test_a_whole_table_is_read() -> None:
    assert read().all_volumes == ("papers",)
    then = {"path": "/own/@{answer:[0].id}", "value": {"path": "said", "equals": "@{new}"}}
    written = {"method": "POST", "path": "/own", "json": {"said": "@{new}"}, "status": 201, "then": then}
    (key,) = read(keys=[written]).keys
    assert key.title == "POST /own, then GET /own/@{answer:[0].id}"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"keys": []}, "keys: none is declared, and without one the service cannot be tested"),
        ({"keys": [{"path": "/own"}]}, "GET /own: asserts nothing but the status: add `contains`, `sha256` or `value`"),
        ({"keys": [{"path": "/own", "then": {"path": "/own"}}]}, "asserts nothing but the status"),
        ({"keys": [{"path": "/own", "contains": ""}]}, "at least 1 character"),
        ({"keys": [{"path": "/own", "sha256": "abc"}]}, "String should match pattern"),
        ({"keys": [{"path": "/own", "value": {"path": "a..b", "equals": 1}}]}, "'a..b' is no path into JSON"),
        ({"keys": [{**KEY, "json": {}}]}, 'method GET sends no body, and json is one; add method = "POST"'),
        ({"keys": [{**KEY, "method": "POST", "json": 1, "body": "x"}]}, "has json and body; a request has one body"),
        ({"keys": [{**KEY, "method": "POST", "upload": {}}]}, "needs `file` or `content`, and not both"),
        ({"keys": [{**KEY, "method": "POST", "upload": {"content": "x"}}]}, "needs `name`"),
        ({"keys": [{**KEY, "method": "POST", "upload": {"file": "none.png"}}]}, "no file 'none.png' beside"),
        ({"keys": [{**KEY, "path": "/own/@{neu}"}]}, "@{neu}: unknown in a request; known: @{new}"),
        ({"keys": [{**KEY, "path": "/own/@{answer:id}"}]}, "there is no answer before this request"),
        ({"keys": [{**KEY, "reads": ["paper"]}]}, "no 'paper' in files and buckets of this service; did you mean 'pap"),
        ({"keys": [KEY, KEY]}, "keys: GET /own/entries is declared twice"),
        ({"files": [{"volume": "papers"}] * 2}, "files: papers/ is declared twice"),
        ({"files": [{"volume": "papers", "folder": "../x"}]}, "must be a folder inside the volume"),
        ({"files": [{"volume": "papers", "referenced": "SELECT 1"}]}, "add `database`, on which it is asked"),
        ({"files": [{"volume": "papers", "database": "own"}]}, "`database` without `referenced`"),
        (
            {"files": [{"volume": "papers", "database": "ow", "referenced": "SELECT 1"}]},
            "files: no 'ow' in databases of this service; did you mean 'own'?",
        ),
        ({"files": [], "keys": [KEY]}, "volume: no 'papers' in files and volumes of this service"),
        ({"environment": {"A": "@{secret:tokn}"}}, "secret: no 'tokn' in secrets of this service; did you mean"),
        ({"buckets": [{"name": "Covers"}]}, "String should match pattern"),
        ({"role": "pg_own"}, "'pg_own' is no name of a role"),
        ({"role": "a\nb"}, "must be one line without control characters"),
        ({"databases": ["own", "@{x}"]}, "has @{ in it, which begins a placeholder"),
        ({"databases": ["own", "template1"]}, "'template1' is PostgreSQL's template"),
        ({"patience": 0}, "greater than 0"),
        ({"prefix": "own"}, "'own' is no path: a /, then letters"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_remedy(more: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        read(**more)
    assert said in str(caught.value)


@pytest.mark.parametrize("path", ["/other", "/ownership"])
def test_a_key_function_beside_the_prefix_is_refused(path: str) -> None:
    sites = {"primary": {"edge": "127.0.0.2"}, "dr": {"edge": "127.0.0.3"}}
    table = {**GOOD, "keys": [{**KEY, "path": path}]}
    declared = {"estate": {"name": "e", "zone": "e.test"}, "sites": sites, "services": {"own": table}}
    with pytest.raises(ValidationError, match=f"services.own.keys: GET {path}: {path} is answered by no service"):
        Config.model_validate(declared)
