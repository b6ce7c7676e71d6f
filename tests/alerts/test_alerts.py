from __future__ import annotations

import logging
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import pytest

from harness.alerts.alerts import Alerts, Delivery, reason_in
from harness.alerts.deadline import within
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
def unreachable(tmp_path: Path) -> str:
    """Reference to a target at a closed port."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
    return reference(tmp_path, "unreachable", f"json://user:{SECRET}@127.0.0.1:{port}/{SECRET}")


def test_an_alert_arrives_unchanged(sink: AlertSink, tmp_path: Path) -> None:
    begin = SYSTEM.monotonic()
    alerts = Alerts((reference(tmp_path, "sink", sink.url),))
    body = "database shop: connection refused\n<b>at 10.0.0.1</b> & more"
    assert alerts.send("Backup of shop failed", body) == Delivery(sent=True, targets=1)
    (received,) = sink.received
    assert (received.title, received.body) == ("Backup of shop failed", body)
    assert begin < received.at < SYSTEM.monotonic()


def test_one_of_two_targets_is_enough_and_the_failed_one_is_named(
    sink: AlertSink, unreachable: str, tmp_path: Path
) -> None:
    delivery = Alerts((unreachable, reference(tmp_path, "sink", sink.url))).send("title", "body")
    assert delivery == Delivery(sent=True, targets=1, failed=(f"{unreachable} (cannot be reached)",))
    assert len(sink.received) == 1


def test_of_several_alerts_each_is_sent_and_what_was_missed_is_said(
    sink: AlertSink, unreachable: str, tmp_path: Path
) -> None:
    reached = reference(tmp_path, "sink", sink.url)
    assert Alerts((reached,)).missed("title", ["one", "two"]) == ()
    assert [one.body for one in sink.received] == ["one", "two"]
    (line,) = Alerts((unreachable, reached)).missed("title", ["three", "four"])
    assert line == f"alert 'title': not told to {unreachable} (cannot be reached)"
    assert [one.body for one in sink.received[2:]] == ["three", "four"]
    (line,) = Alerts((unreachable,)).missed("title", ["five", "six"])
    assert "could not be delivered to" in line
    (line,) = Alerts(("env:NOT_SET_ANYWHERE",)).missed("title", ["seven"])
    assert "NOT_SET_ANYWHERE" in line
    assert Alerts(()).missed("title", ["eight"]) == ("alert 'title': nobody is told; name targets in backup.alerts",)
    assert Alerts(()).missed("title", []) == ()


@pytest.mark.parametrize("url", ["", "nonsense", f"unheard-of://{SECRET}@nowhere"])
def test_an_undelivered_alert_is_an_error_without_secrets(
    unreachable: str, url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    bad = reference(tmp_path, "bad", url)
    with caplog.at_level(logging.DEBUG), pytest.raises(HarnessError, match="could not be delivered to") as error:
        Alerts((unreachable, bad)).send("title", "body")
    assert f"{unreachable} (cannot be reached), {bad} (no URL of apprise); check" in str(error.value)
    assert SECRET not in "".join((str(error.value), caplog.text, *capfd.readouterr()))


def test_without_targets_nothing_is_sent() -> None:
    assert Alerts(()).send("title", "body") == Delivery(sent=False, targets=0)


def test_an_unreadable_reference_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="missing"):
        Alerts((f"file:{tmp_path / 'missing'}",)).send("title", "body")


def test_a_reference_that_cannot_be_read_keeps_no_later_target_from_being_told(
    sink: AlertSink, unreachable: str, tmp_path: Path
) -> None:
    reached = reference(tmp_path, "sink", sink.url)
    lost = "secret env:NOT_SET_ANYWHERE: environment variable NOT_SET_ANYWHERE is not set; set it"
    assert Alerts(("env:NOT_SET_ANYWHERE", reached)).send("title", "body") == Delivery(True, 1, (lost,))
    assert Alerts(("env:NOT_SET_ANYWHERE", reached)).missed("title", ["other"]) == (
        f"alert 'title': not told to {lost}",
    )
    assert [one.body for one in sink.received] == ["body", "other"]
    with pytest.raises(HarnessError, match=r"NOT_SET_ANYWHERE .*, .*cannot be reached") as error:
        Alerts(("env:NOT_SET_ANYWHERE", unreachable)).send("title", "body")
    assert not isinstance(error.value, UsageError)


@pytest.mark.parametrize("status", [401, 500])
def test_a_target_that_answers_with_an_error_is_reported_as_failed(status: int, tmp_path: Path) -> None:
    class FailingSink(AlertSink):
        def take(self, headers: Mapping[str, str], body: bytes) -> int:
            super().take(headers, body)
            return status

    with FailingSink() as sink, pytest.raises(HarnessError, match=rf"sink \(answered with {status}\); check"):
        Alerts((reference(tmp_path, "sink", sink.url),)).send("title", "body")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (f"Failed to send to {SECRET}: Page not found., error=404.", "answered with 404"),
        (f"Connection error while submitting email to {SECRET}", "cannot be reached"),
        (f"The token {SECRET} was refused, error={SECRET}.", "not accepted"),
        (f"error=4{SECRET}", "not accepted"),
    ],
)
def test_of_what_apprise_logs_the_status_alone_is_told(said: str, reason: str) -> None:
    assert reason_in(["Something else", said]) == reason
    assert reason_in([]) == "not accepted"


def test_the_sink_refuses_what_is_not_an_alert() -> None:
    sink = AlertSink()
    for content in (b"", b"{}", b"[]", b'{"title": "t"}', b"\xff"):
        assert sink.take({}, content) == 400
    assert sink.received == ()
    with sink:
        pass


@pytest.mark.attacks
def test_a_name_of_others_commands_no_reader_of_an_alert(sink: AlertSink, tmp_path: Path) -> None:
    """A table may be named as a command to a terminal, or as a picture: targets such as mail show HTML."""
    said = 'table \x1b[2J\u202e<img src="//a">'
    Alerts((reference(tmp_path, "sink", sink.url), reference(tmp_path, "html", f"{sink.url}?format=html"))).send(
        said, f"one\n{said}"
    )
    plain, page = sink.received
    assert plain.title == 'table \\u001b[2J\\u202e<img src="//a">'
    assert plain.body == f"one\n{plain.title}"
    assert "<img" not in page.body
    assert "\x1b" not in page.title + page.body


@contextmanager
def answering(reply: bytes, *, without_end: bool = False) -> Iterator[int]:
    """Yield a port at which the first request gets `reply`, and then one byte a moment until the block ends."""
    ended = Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]

        def serve() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.recv(65536)
                connection.sendall(reply)
                while without_end and not ended.wait(0.02):
                    connection.sendall(b"x")

        thread = Thread(target=serve)
        thread.start()
        try:
            yield port
        finally:
            ended.set()
            socket.create_connection(("127.0.0.1", port)).close()  # where nobody has connected, it waits for ever
            thread.join()


@pytest.mark.timeout(10)
def test_a_server_that_nobody_asked_ends() -> None:
    with pytest.raises(ZeroDivisionError), answering(b""):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    "reply", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n"]
)
def test_a_target_that_answers_without_an_end_is_given_up(
    reply: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timeout of a client covers one read: an answer that drips never reaches it, and the alert would hang."""
    monkeypatch.setattr("harness.patience.PATIENCE.delivery", 0.5)
    with answering(reply, without_end=True) as port:
        alerts = Alerts((reference(tmp_path, "slow", f"json://127.0.0.1:{port}/"),))
        with pytest.raises(HarnessError, match=r"slow \(no end within 0\.5 s\); check these targets"):
            alerts.send("title", "body")


def test_an_alert_that_is_redirected_was_not_delivered(sink: AlertSink, tmp_path: Path) -> None:
    """A client follows with a GET and no body, and a login page answers with 200."""
    where = f"http://127.0.0.1:{sink.url.rpartition(':')[2].strip('/')}/"
    moved = f"HTTP/1.1 302 Found\r\nLocation: {where}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with answering(moved.encode()) as port:
        alerts = Alerts((reference(tmp_path, "moved", f"json://127.0.0.1:{port}/"),))
        with pytest.raises(HarnessError, match=r"moved \(answered with 302\); check these targets"):
            alerts.send("title", "body")


def test_work_within_its_time_is_itself() -> None:
    def fails() -> None:
        raise TimeoutError("its own")

    assert within(5.0, lambda: 7, "work") == 7
    with pytest.raises(TimeoutError, match="its own"):
        within(5.0, fails, "work")


def test_work_that_ends_just_after_its_time_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the end of its time and the question whether it is done: that was a TimeoutError without a reason."""
    go_on = Event()

    class Ending(Future[int]):
        def done(self) -> bool:
            go_on.set()
            self.result(5)
            return super().done()

    def work() -> int:
        go_on.wait(5)
        return 7

    monkeypatch.setattr("harness.alerts.deadline.Future", Ending)
    assert within(0.05, work, "work") == 7
