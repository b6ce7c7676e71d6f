from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from harness.alerts.alerts import Alerts, Delivery
from harness.alerts.sink import AlertSink
from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError, UsageError

SECRET = "token-that-lets-one-post"


@pytest.fixture
def sink() -> Iterator[AlertSink]:
    with AlertSink() as sink:
        yield sink


def reference(folder: Path, name: str, url: str) -> str:
    (folder / name).write_text(url + "\n")
    return f"file:{folder / name}"


@pytest.fixture
def nobody(tmp_path: Path) -> str:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    return reference(tmp_path, "nobody", f"json://user:{SECRET}@127.0.0.1:{port}/{SECRET}")


def test_an_alert_arrives_as_it_was_sent(sink: AlertSink, tmp_path: Path) -> None:
    begin = SYSTEM.monotonic()
    alerts = Alerts((reference(tmp_path, "sink", sink.url),))
    body = "database shop: connection refused\n<b>at 10.0.0.1</b> & more"
    assert alerts.send("Backup of shop failed", body) == Delivery(sent=True, targets=1)
    (received,) = sink.received
    assert (received.title, received.body) == ("Backup of shop failed", body)
    assert begin < received.at < SYSTEM.monotonic()


def test_one_target_of_two_is_enough_and_the_other_is_named(sink: AlertSink, nobody: str, tmp_path: Path) -> None:
    delivery = Alerts((nobody, reference(tmp_path, "sink", sink.url))).send("title", "body")
    assert delivery == Delivery(sent=True, targets=1, failed=(nobody,))
    assert len(sink.received) == 1


@pytest.mark.parametrize("url", ["", "nonsense", f"unheard-of://{SECRET}@nowhere"])
def test_when_nobody_can_be_told_it_is_an_error_that_tells_no_secret(
    nobody: str, url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = reference(tmp_path, "bad", url)
    with caplog.at_level(logging.DEBUG), pytest.raises(HarnessError, match="could not be delivered to") as error:
        Alerts((nobody, bad)).send("title", "body")
    assert nobody in str(error.value)
    assert bad in str(error.value)
    assert SECRET not in str(error.value)
    assert SECRET not in caplog.text


def test_with_no_target_nobody_is_told() -> None:
    assert Alerts(()).send("title", "body") == Delivery(sent=False, targets=0)


def test_a_reference_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="missing"):
        Alerts((f"file:{tmp_path / 'missing'}",)).send("title", "body")


def test_a_target_that_answers_with_an_error_was_not_told(tmp_path: Path) -> None:
    class NotYet(AlertSink):
        def take(self, content: bytes) -> int:
            super().take(content)
            return 500

    with NotYet() as sink, pytest.raises(HarnessError):
        Alerts((reference(tmp_path, "sink", sink.url),)).send("title", "body")


def test_the_sink_keeps_nothing_that_is_no_alert() -> None:
    sink = AlertSink()
    for content in (b"", b"{}", b"[]", b'{"title": "t"}', b"\xff"):
        assert sink.take(content) == 400
    assert sink.received == ()
    with sink:
        pass
