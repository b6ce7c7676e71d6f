"""What `blackstart recover` asks for before it changes anything."""

from __future__ import annotations

import pytest

from harness.core.errors import Refused, UsageError
from harness.recovery.recover import require_down, require_name
from tests.memory_estate import MemoryEstate
from tests.traffic.backend import Backend


def test_a_primary_that_answers_is_refused() -> None:
    with Backend("primary") as primary:
        url = f"http://{primary.address}/"
        with pytest.raises(Refused, match=rf"the primary still answers at {url} \(200\); fence it"):
            require_down(url, "")
        assert require_down(url, "its network is cut") == "fenced: its network is cut"
    assert require_down(url, "") == f"witnessed down: {url}"


def test_the_primary_must_be_known_to_be_down() -> None:
    with pytest.raises(UsageError, match="no evidence that the primary is down; add --witness URL"):
        require_down("", "")


def test_another_estate_is_refused(memory_estate: MemoryEstate) -> None:
    require_name(memory_estate.config, "example-shop")
    with pytest.raises(UsageError, match="the estate declared here is 'example-shop', not 'shop'; nothing was changed"):
        require_name(memory_estate.config, "shop")
