"""Fixtures of all tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest

from harness.substrate.common.filesystem import keep_apart
from tests.servers import substrate

__all__ = ["substrate"]
SCHEMA = Path(__file__).resolve().parents[1] / "docs/record.schema.json"


@cache
def schema() -> Any:
    return fastjsonschema.compile(
        {**json.loads(SCHEMA.read_bytes()), "$schema": "http://json-schema.org/draft-07/schema#"}
    )


@pytest.fixture(scope="session", autouse=True)
def folders_of_tests_lie_apart(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A test that follows one that removed thousands of files does not create its own among them."""
    keep_apart(tmp_path_factory.getbasetemp())


@pytest.fixture(autouse=True)
def records_match_their_schema(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every record that a test made is valid by the JSON Schema, unless the test says that it damages records."""
    folder = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    if folder is None or request.node.get_closest_marker("damages_records"):
        return
    for path in folder.rglob("record.json"):
        schema()(json.loads(path.read_bytes()))
