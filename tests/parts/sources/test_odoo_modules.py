"""Dependency resolution of Odoo modules, on a small tree of addons."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import MissingPart
from harness.parts.sources.odoo import _slim
from harness.parts.sources.odoo_modules import closure, imported, read_manifests

TREE = {
    "base": "{'name': 'Base'}",
    "mail": "{'depends': ['base']}",
    "account": "{'depends': ['mail']}",
    "sale": "{'depends': ['account']}",
    "sale_management": "{'depends': ['sale']}",
    "mail_glue": "{'depends': ['mail', 'account'], 'auto_install': True}",
    "one_trigger": "{'depends': ['helper', 'sale'], 'auto_install': ['sale']}",
    "helper": "{'depends': []}",
    "glue_of_glue": "{'depends': ['mail_glue', 'helper'], 'auto_install': True}",
    "stock": "{'depends': ['base']}",
    "sale_stock": "{'depends': ['sale', 'stock'], 'auto_install': True}",
    "l10n_us": "{'depends': ['account'], 'auto_install': True, 'countries': ['us']}",
    "l10n_fr": "{'depends': ['account'], 'auto_install': True, 'countries': ['fr']}",
    "broken": "{'depends': ['sale'], 'auto_install': True, 'installable': False}",
    "payment_abroad": "{'depends': ['stock']}",
}


@pytest.fixture
def addons(tmp_path: Path) -> Path:
    for name, manifest in TREE.items():
        module = tmp_path / name
        (module / "models").mkdir(parents=True)
        (module / "static/description").mkdir(parents=True)
        (module / "__manifest__.py").write_text(manifest)
        (module / "__init__.py").write_text("from . import models\n")
        (module / "models/__init__.py").write_text("")
        (module / "models/data.xml").write_text("<odoo/>")
        (module / "static/description/icon.png").write_text("icon")
    (tmp_path / "account/models/country.py").write_text("import odoo.addons.payment_abroad as abroad\n")
    return tmp_path


def test_the_closure_has_dependencies_and_automatic_modules(addons: Path) -> None:
    chosen = closure(read_manifests(addons), frozenset({"sale_management"}), country="us")
    assert chosen == {
        "base", "mail", "account", "sale", "sale_management", "mail_glue", "one_trigger",
        "helper", "glue_of_glue", "l10n_us",
    }  # fmt: skip


def test_the_localisation_depends_on_the_country(addons: Path) -> None:
    chosen = closure(read_manifests(addons), frozenset({"account"}), country="fr")
    assert "l10n_fr" in chosen
    assert "l10n_us" not in chosen


def test_a_missing_dependency_is_named(addons: Path) -> None:
    (addons / "mail/__manifest__.py").write_text("{'depends': ['bus']}")
    with pytest.raises(MissingPart, match="module bus"):
        closure(read_manifests(addons), frozenset({"sale"}), country="us")


def test_a_folder_without_modules_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingPart, match="no modules"):
        read_manifests(tmp_path)


def test_imported_modules_outside_the_dependencies_are_found(addons: Path) -> None:
    assert imported(addons, frozenset({"account", "sale"})) == {"payment_abroad"}


def test_slimming_keeps_files_that_other_modules_use(addons: Path) -> None:
    _slim(addons)
    kept = {str(path.relative_to(addons)) for path in addons.rglob("*") if path.is_file()}
    assert {"sale/models/data.xml", "sale/models/__init__.py"} <= kept
    assert {path for path in kept if path.startswith("stock/")} == {
        "stock/__manifest__.py", "stock/__init__.py", "stock/static/description/icon.png",
    }  # fmt: skip
    assert (addons / "stock/__init__.py").read_text() == ""
    assert {path for path in kept if path.startswith("payment_abroad/")} == {
        "payment_abroad/__manifest__.py", "payment_abroad/__init__.py", "payment_abroad/models/__init__.py",
        "payment_abroad/static/description/icon.png",
    }  # fmt: skip
    assert (addons / "payment_abroad/__init__.py").read_text() == "from . import models\n"
