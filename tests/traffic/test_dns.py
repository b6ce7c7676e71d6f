from __future__ import annotations

import base64
from pathlib import Path

import dns.query
import dns.rcode
import pytest

from harness.core.errors import HarnessError
from harness.core.node import Node, Site
from harness.traffic.dns import TTL, NameServer, dns_spec, zone_text
from harness.traffic.door import Door, served_by
from tests.traffic.backend import Backend

ZONE = "shop.test"
pytestmark = pytest.mark.programs


def secret(path: Path, byte: bytes) -> str:
    path.write_bytes(base64.b64encode(byte * 32))
    return f"file:{path}"


@pytest.fixture
def node(edge: Site, tmp_path: Path) -> Node:
    references = {"tsig": secret(tmp_path / "tsig", b"k")}
    return edge.launch(dns_spec(edge, ZONE, {"www": "127.0.0.2", "mail": "127.0.0.9"}, secrets=references))


@pytest.fixture
def names(node: Node) -> NameServer:
    return NameServer(node.endpoint("dns").outside, ZONE, node.spec.secrets["tsig"])


def test_a_signed_update_is_visible_at_once(names: NameServer) -> None:
    assert names.resolve("www.shop.test") == "127.0.0.2"
    names.switch("www", "127.0.0.3")
    assert names.resolve("www.shop.test") == "127.0.0.3"
    assert names.resolve("www") == "127.0.0.3"
    assert names.resolve("mail.shop.test") == "127.0.0.9"


def test_answers_have_a_short_ttl(names: NameServer) -> None:
    names.switch("www", "127.0.0.3")
    question = dns.message.make_query("www.shop.test", "A")
    answer = dns.query.udp(question, names.address.host, port=names.address.port, timeout=2)
    assert answer.answer[0].ttl == TTL


def test_an_unsigned_update_is_refused(names: NameServer) -> None:
    with pytest.raises(HarnessError, match=r"NOTAUTH|REFUSED"):
        names.send(names.update("www", "127.0.0.66", signed=False))
    assert names.resolve("www.shop.test") == "127.0.0.2"


def test_an_update_signed_with_another_key_is_refused(names: NameServer, tmp_path: Path) -> None:
    forger = NameServer(names.address, ZONE, secret(tmp_path / "other", b"x"))
    with pytest.raises(HarnessError, match=r"update of shop\.test"):
        forger.switch("www", "127.0.0.66")
    assert names.resolve("www.shop.test") == "127.0.0.2"


def test_a_malformed_key_is_refused_without_its_content(names: NameServer, tmp_path: Path) -> None:
    path = tmp_path / "malformed"
    path.write_text("n o t base64 !")
    with pytest.raises(HarnessError, match="not a TSIG key") as error:
        NameServer(names.address, ZONE, f"file:{path}").switch("www", "127.0.0.3")
    assert "base64 !" not in str(error.value)


def test_an_unknown_name_and_a_dead_server_are_connection_errors(names: NameServer, node: Node) -> None:
    with pytest.raises(ConnectionError, match="NXDOMAIN"):
        names.resolve("nobody.shop.test")
    node.kill()
    with pytest.raises(ConnectionError, match="does not answer"):
        names.resolve("www.shop.test")
    with pytest.raises(HarnessError, match="is it up"):
        names.switch("www", "127.0.0.3")


def test_a_restarted_server_has_the_last_update(names: NameServer, node: Node) -> None:
    names.switch("www", "127.0.0.3")
    node.kill()
    node.start()
    assert names.resolve("www.shop.test") == "127.0.0.3"


def test_a_server_without_a_key_is_refused(edge: Site) -> None:
    with pytest.raises(HarnessError, match="no secret 'tsig'"):
        dns_spec(edge, ZONE, {}, secrets={})


def test_a_zone_has_one_line_for_each_host() -> None:
    lines = zone_text(ZONE, {"www": "127.0.0.2"}).splitlines()
    assert lines[0] == "$ORIGIN shop.test."
    assert lines[-1] == "www A 127.0.0.2"


def test_a_door_resolves_the_name_for_every_request(names: NameServer, primary: Backend) -> None:
    door = Door("www.shop.test", primary.address.port, names.resolve)
    names.switch("www", "127.0.0.1")
    assert served_by(door) == "primary"
    names.switch("www", "127.0.0.77")
    with pytest.raises(ConnectionError):
        served_by(door)
    names.switch("www", "127.0.0.1")
    assert served_by(door) == "primary"
