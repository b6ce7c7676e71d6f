from __future__ import annotations

from harness.core.egress import Egress, Refused, egress_of


class Behind:
    def egress(self) -> Egress:
        return Egress("a wall", (Refused("odoo", 2), Refused("n8n", None)))


def test_what_keeps_a_site_in_is_what_it_says_and_nothing_where_it_says_nothing() -> None:
    assert egress_of(Behind()) == Egress("a wall", (Refused("odoo", 2), Refused("n8n", None)))
    assert egress_of(object()) is None
