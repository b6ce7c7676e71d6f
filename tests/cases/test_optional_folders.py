"""Folders that a program makes only when it has a file for them are no reason for a failed backup."""

from __future__ import annotations

import hashlib

import pytest

from harness.services.n8n.app import N8n
from harness.services.odoo.app import Odoo
from tests.cases.estate import CaseEstate

pytestmark = [pytest.mark.cases, pytest.mark.night, pytest.mark.programs]


def test_an_odoo_without_modules_of_its_own_and_an_n8n_without_files_are_backed_up(estate: CaseEstate) -> None:
    name = hashlib.sha1(b"x", usedforsecurity=False).hexdigest()
    estate.create("odoo", "CREATE TABLE ir_attachment (store_fname text)")
    estate.run("odoo", f"INSERT INTO ir_attachment VALUES ('{name[:2]}/{name}')")  # noqa: S608 - a constant
    estate.put_file("odoo", f"filestore/odoo/{name[:2]}/{name}", b"x")
    estate.create("n8n")
    odoo, flows = Odoo().sources(), N8n().sources()
    estate.declare("odoo", "n8n", trees=(*odoo.trees, *flows.trees), volumes=("odoo", "n8n"))
    estate.back_up()
    assert {tree.name: tree.files for tree in estate.contents.trees} == {
        "odoo-filestore": 1, "odoo-addons": 0, "n8n-storage": 0, "n8n-binaryData": 0, "n8n-custom": 0
    }  # fmt: skip
    estate.restore()
