"""What `blackstart recover` asks for before it changes anything."""

from __future__ import annotations

import socket

import pytest

from harness.core.errors import Refused, UsageError
from harness.recovery.down import require_down
from harness.recovery.recover import require_name
from tests.memory_estate import MemoryEstate
from tests.traffic.backend import Backend


def test_a_primary_that_answers_is_refused() -> None:
    with Backend("primary") as primary:
        url = f"http://{primary.address}/"
        with pytest.raises(
            Refused, match=rf"the primary still answers at {url}: port \d+ of 127.0.0.1 takes connections; "
        ):
            require_down(url, "")
        assert require_down(url, "its network is cut") == "fenced: its network is cut"
    assert require_down(url, "") == f"witnessed down: {url}"


@pytest.mark.parametrize("says", ["nothing", "no TLS"])
def test_what_takes_connections_lives_whatever_it_says(says: str) -> None:
    """A certificate that is not trusted, a redirect and a slow answer counted as the end of the primary."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"{'http' if says == 'nothing' else 'https'}://127.0.0.1:{server.getsockname()[1]}/login"
        with pytest.raises(Refused, match="takes connections; fence it before you recover, and add --fenced WHY"):
            require_down(url, "")


@pytest.mark.parametrize("url", ["shop.example", "shop.example:443", "ftp://shop.example", "http://", "http://a:x/"])
def test_a_witness_that_is_no_url_is_no_evidence(url: str) -> None:
    with pytest.raises(UsageError, match=f"--witness {url}: is no URL of the primary; write http:// or https://"):
        require_down(url, "")


def test_a_name_without_an_address_is_no_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # a dead proxy says nothing of the primary either
    with pytest.raises(UsageError, match=r"--witness http://shop\.invalid/: its host has no address here"):
        require_down("http://shop.invalid/", "")


def test_the_primary_must_be_known_to_be_down() -> None:
    with pytest.raises(UsageError, match="no evidence that the primary is down; add --witness URL"):
        require_down("", "")


def test_another_estate_is_refused(memory_estate: MemoryEstate) -> None:
    require_name(memory_estate.config, "example-shop")
    with pytest.raises(UsageError, match="the estate declared here is 'example-shop', not 'shop'; nothing was changed"):
        require_name(memory_estate.config, "shop")
