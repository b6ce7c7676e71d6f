"""Two databases of one Odoo: both come back with their filestores, and both answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from harness.core.service import Place
from harness.estate.site import STORE, EstateSite
from harness.services.odoo.app import Odoo
from tests.cases.estate import CaseEstate
from tests.cases.majors import OWN, asked_major
from tests.example_estates import seeded_primary
from tests.services.odoo.running_shop import Shop

pytestmark = [
    pytest.mark.cases,
    pytest.mark.night,
    pytest.mark.programs,
    pytest.mark.apps,
    pytest.mark.skipif(asked_major() != OWN, reason="the prepared Odoo has a server of its own"),
]
TENANTS = ("first", "second")
SECRETS = ("odoo-db", "odoo-admin")
MODULES = "load every installed module"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with seeded_primary("shop", tmp_path_factory.mktemp("odoo")) as place:
        yield Shop(place)


@pytest.fixture
def tenants(shop: Shop, estate: CaseEstate) -> CaseEstate:
    """The estate with an Odoo of two databases on its primary."""
    return with_tenants(shop, estate, Odoo("odoo", TENANTS))


def with_tenants(shop: Shop, estate: CaseEstate, odoo: Odoo) -> CaseEstate:
    """Put the prepared Odoo with the tenants' databases in the place of the estate's primary, declared as `odoo`."""
    there = {name for (name,) in shop.rows(Odoo(), "SELECT datname FROM pg_database")}
    for name in TENANTS:
        if name not in there:
            shop.copy(name)
    own = {name: shop.place.secrets[name] for name in SECRETS}
    primary = EstateSite(shop.place.site, {**shop.place.secrets, **estate.primary.secrets}, {}, shop.place.sql)
    primary.nodes[STORE] = estate.primary.nodes[STORE]
    primary.start_store()
    estate.primary = primary
    estate.dr.secrets = {**estate.dr.secrets, **own}
    estate.service = odoo  # type: ignore[assignment]
    return estate


def files_of(place: Place, database: str) -> dict[str, bytes]:
    volume, found = place.site.volume("odoo"), {}
    for path in volume.walk():
        if path.startswith(start := f"filestore/{database}/"):
            with volume.open(path, "rb") as file:
                found[path.removeprefix(start)] = file.read()
    return found


def test_the_files_of_a_database_that_is_not_declared_come_back_and_are_named(shop: Shop, estate: CaseEstate) -> None:
    odoo = Odoo("odoo", TENANTS[:1])
    with_tenants(shop, estate, odoo)
    estate.back_up()
    (gap,) = estate.contents.uncovered
    assert gap.startswith("rest of volume odoo: no service declares its ")
    estate.restore()
    assert files_of(estate.dr.place, TENANTS[1]) == files_of(shop.place, TENANTS[1]) != {}


def test_a_module_whose_files_dr_lacks_is_named(shop: Shop) -> None:
    odoo = shop.copy("modules")
    shop.rows(odoo, "INSERT INTO ir_module_module (name, state) VALUES ('own_letters', 'installed') RETURNING id")
    with shop.running(odoo) as door:
        verdicts = shop.verdicts(odoo, door)
    assert "installed modules are not loaded: own_letters; put their files" in verdicts.pop(MODULES)
    assert set(verdicts.values()) == {"passed"}


def test_both_databases_of_an_odoo_come_back_and_answer(shop: Shop, tenants: CaseEstate) -> None:
    odoo = Odoo("odoo", TENANTS)
    names = "SELECT name FROM res_company ORDER BY id"
    for name in TENANTS:
        tenants.run(name, "UPDATE res_company SET name = 'Company ' || current_database()", site="primary")
    tenants.back_up()
    restored = tenants.restore()
    assert (restored.findings, restored.lost_objects) == ((), ())
    there = Shop(tenants.dr.place)
    with there.running(odoo) as door:
        verdicts = there.verdicts(odoo, door)
    assert set(verdicts.values()) == {"passed"}, verdicts
    assert len(verdicts) == 2 * len(Odoo().key_functions(tenants.dr.secrets))
    for name in TENANTS:
        assert tenants.rows(name, names) == [(f"Company {name}",)]
        referenced = {str(file) for (file,) in tenants.rows(name, odoo.sources().trees[0].referenced)}
        before, after = files_of(shop.place, name), files_of(tenants.dr.place, name)
        assert {file: after[file] for file in referenced} == {file: before[file] for file in referenced}
        assert referenced
