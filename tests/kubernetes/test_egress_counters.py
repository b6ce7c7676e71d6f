"""What the egress filter of a cluster's node refused, as its packet filter lists it."""

from __future__ import annotations

from typing import cast

import pytest

from harness.core.errors import HarnessError
from harness.kubernetes.egress_filter import CHAIN, refused
from harness.kubernetes.machine import Machine

LISTED = f"""Chain {CHAIN} (1 references)
    pkts      bytes target     prot opt in     out     source               destination
     120     9000 RETURN     0    --  *      *       0.0.0.0/0            0.0.0.0/0            ctstate ESTABLISHED
       3      180 REJECT     17   --  *      *       0.0.0.0/0            0.0.0.0/0            udp dpt:53 reject-with
       9      540 RETURN     0    --  *      *       0.0.0.0/0            172.18.0.1
       4      240 REJECT     0    --  *      *       0.0.0.0/0            0.0.0.0/0            reject-with
"""


class Node:
    def __init__(self, said: str | None) -> None:
        self.said = said

    def execute(self, command: str) -> str:
        assert CHAIN in command
        if self.said is None:
            raise HarnessError("the node does not answer")
        return self.said


@pytest.mark.parametrize(("said", "found"), [(LISTED, 7), ("", 0), (None, None), ("x y REJECT", None)])
def test_what_the_filter_refused_is_the_sum_of_its_rules(said: str | None, found: int | None) -> None:
    assert refused(cast("Machine", Node(said))) == found
