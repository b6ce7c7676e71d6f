"""The outcome of a drill reaches real receivers; what does not arrive is named, and changes nothing else."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from harness.alerts.sink import AlertSink
from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError, UsageError
from harness.core.record import DrillRecord
from harness.estate.config import Config, load_config
from harness.estate.notify_config import NotifyTable
from harness.evidence.told import read_told
from harness.notify.tell import HEARTBEAT, TEXTFILE, beat, lines_of, tell, tell_not_started
from tests.records import a_record, kept

TOKEN = "token-that-lets-one-post"
BROKEN = a_record()
UNKNOWN = replace(
    a_record(), verdict="UNKNOWN", reasons=("interrupted before it was done",), rto_seconds=None, rpo_seconds=None
)
REFUSAL = replace(a_record(), expected="BROKEN")
SURPRISE = replace(kept(), expected="BROKEN")


class Calls(ThreadingHTTPServer):
    """Heartbeat service. `status`: of its answers; `paths`: what was asked."""

    status = 200
    endless = False

    def __init__(self) -> None:
        calls = self
        self.paths: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                calls.paths.append(self.path)
                self.send_response(calls.status)
                self.send_header("Content-Length", str(10**12 * calls.endless))
                self.end_headers()
                if calls.endless:
                    self.wfile.write(b"x" * 1000)

            def log_message(self, *_args: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def calls() -> Iterator[Calls]:
    server = Calls()
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def sinks() -> Iterator[dict[str, AlertSink]]:
    with AlertSink() as one, AlertSink() as two, AlertSink() as three:
        yield {"kept": one, "broken": two, "unknown": three}


def reference(folder: Path, name: str, url: str) -> str:
    (folder / name).write_text(url + "\n")
    return f"file:{folder / name}"


def closed_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port: int = server.getsockname()[1]
    return port


@pytest.mark.parametrize(
    ("record", "told", "title"),
    [
        (kept(), "kept", "blackstart: KEPT: a <drill> (shop)"),
        (BROKEN, "broken", "blackstart: BROKEN (KEPT expected): a <drill> (shop)"),
        (UNKNOWN, "unknown", "blackstart: UNKNOWN (KEPT expected): a <drill> (shop)"),
        (REFUSAL, "kept", "blackstart: BROKEN as expected: a <drill> (shop)"),
        (SURPRISE, "broken", "blackstart: KEPT (BROKEN expected): a <drill> (shop)"),
    ],
    ids=["kept", "broken", "unknown", "a refusal that was expected", "kept where a refusal was expected"],
)
def test_an_outcome_is_sent_to_its_targets_alone(
    record: DrillRecord, told: str, title: str, sinks: dict[str, AlertSink], tmp_path: Path
) -> None:
    declared = NotifyTable.model_validate({name: reference(tmp_path, name, sink.url) for name, sink in sinks.items()})
    (one,) = tell(record, declared, tmp_path)
    assert one.delivered
    assert {name: len(sink.received) for name, sink in sinks.items() if sink.received} == {told: 1}
    assert sinks[told].received[0].title == title
    assert read_told(tmp_path) == (one,)


def test_the_message_has_the_figures_and_the_reason(sinks: dict[str, AlertSink], tmp_path: Path) -> None:
    declared = NotifyTable.model_validate(reference(tmp_path, "url", sinks["broken"].url))
    tell(BROKEN, declared, tmp_path)
    (message,) = sinks["broken"].received
    assert "RTO 3 min 20 s of 3 min · RPO 3 s of 1 min · exposure 1 min of 24 h" in message.body
    assert "writes lost: 2 of 50 acknowledged" in message.body
    assert "- RTO missed" in message.body
    assert f"record: {tmp_path.name}" in message.body


def test_by_default_broken_and_unknown_are_told_and_kept_is_not(tmp_path: Path) -> None:
    declared = NotifyTable.model_validate("env:NOBODY")
    assert [declared.of(one) for one in ("kept", "broken", "unknown")] == [(), ("env:NOBODY",), ("env:NOBODY",)]
    assert tell(kept(), declared, tmp_path) == ()
    assert not (tmp_path / "told.json").exists()


@pytest.mark.parametrize("url", [f"json://user:{TOKEN}@127.0.0.1:{{port}}/{TOKEN}", f"unheard-of://{TOKEN}", "", TOKEN])
def test_a_message_that_is_not_delivered_is_named_without_its_secret(url: str, tmp_path: Path) -> None:
    target = reference(tmp_path, "url", url.format(port=closed_port()))
    (one,) = tell(BROKEN, NotifyTable.model_validate([target, target]), tmp_path)
    assert not one.delivered
    assert f"{target} ({'cannot be reached' if url.startswith('json') else 'no URL of apprise'})" in one.reason
    assert TOKEN not in (tmp_path / "told.json").read_text()
    assert lines_of((one,)) == (f"NOT told: {target}: {one.reason}",)


def test_a_reference_without_a_value_does_not_keep_the_others_from_being_told(
    sinks: dict[str, AlertSink], tmp_path: Path
) -> None:
    missing, good = f"file:{tmp_path / 'missing'}", reference(tmp_path, "url", sinks["broken"].url)
    told = tell(BROKEN, NotifyTable(broken=(missing, good)), tmp_path)
    assert [one.delivered for one in told] == [False, True]
    assert len(sinks["broken"].received) == 1


def test_the_heartbeat_is_called_after_kept_alone(calls: Calls, tmp_path: Path) -> None:
    url = reference(tmp_path, "beat", f"http://127.0.0.1:{calls.server_address[1]}/ping/{TOKEN}")
    for record in (BROKEN, UNKNOWN, REFUSAL, SURPRISE):
        assert tell(record, NotifyTable(heartbeat=url), tmp_path) == ()
    assert calls.paths == []
    (one,) = tell(kept(), NotifyTable(heartbeat=url), tmp_path)
    assert (one.target, one.delivered) == (HEARTBEAT, True)
    assert calls.paths == [f"/ping/{TOKEN}"]


def test_a_heartbeat_whose_answer_never_ends_is_delivered_at_once(calls: Calls, tmp_path: Path) -> None:
    calls.endless = True
    url = reference(tmp_path, "beat", f"http://127.0.0.1:{calls.server_address[1]}/")
    begin = SYSTEM.monotonic()
    (one,) = tell(kept(), NotifyTable(heartbeat=url), tmp_path)
    assert one.delivered
    assert SYSTEM.monotonic() - begin < 5


@pytest.mark.parametrize("status", [404, 500])
def test_a_heartbeat_that_is_refused_is_named(calls: Calls, status: int, tmp_path: Path) -> None:
    calls.status = status
    url = reference(tmp_path, "beat", f"http://127.0.0.1:{calls.server_address[1]}/{TOKEN}")
    (one,) = tell(kept(), NotifyTable(heartbeat=url), tmp_path)
    assert not one.delivered
    assert str(status) in one.reason
    assert TOKEN not in one.reason


@pytest.mark.parametrize("url", [f"http://127.0.0.1:{{port}}/{TOKEN}", f"file:///etc/{TOKEN}", f"http://[{TOKEN}"])
def test_a_heartbeat_that_cannot_be_called_is_named_without_its_secret(url: str, tmp_path: Path) -> None:
    target = reference(tmp_path, "beat", url.format(port=closed_port()))
    (one,) = tell(kept(), NotifyTable(heartbeat=target), tmp_path)
    assert not one.delivered
    assert one.reason
    assert TOKEN not in one.reason


def test_a_heartbeat_that_is_no_url_of_the_web_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^heartbeat .*: not a http or https URL$"):
        beat(reference(tmp_path, "beat", f"ftp://127.0.0.1/{TOKEN}"))


def test_a_textfile_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (one,) = tell(kept(), NotifyTable(textfile=tmp_path / "no folder" / "blackstart.prom"), tmp_path)
    assert (one.target, one.delivered) == (TEXTFILE, False)
    assert os.strerror(2) in one.reason


def test_a_restore_test_that_could_not_be_started_is_told(sinks: dict[str, AlertSink], tmp_path: Path) -> None:
    declared = NotifyTable.model_validate(reference(tmp_path, "url", sinks["unknown"].url))
    (one,) = tell_not_started("restore test", "shop", "store: connection refused", declared)
    assert one.delivered
    assert sinks["unknown"].received[0].title == "blackstart: UNKNOWN: restore test (shop)"
    assert "store: connection refused" in sinks["unknown"].received[0].body


ESTATE = """{top}
[estate]
name = "x"
zone = "x.test"
[sites]
primary = {{ edge = "127.0.0.2" }}
dr = {{ edge = "127.0.0.3" }}
[services]
{table}
"""


def declared(folder: Path, table: str, top: str = "") -> Config:
    (folder / "estate.toml").write_text(ESTATE.format(top=top, table=table))
    return load_config(folder / "estate.toml")


def test_the_declaration_takes_one_or_many(tmp_path: Path) -> None:
    short = declared(tmp_path, "", 'notify = "env:OPS"').notify
    assert (short.kept, short.broken, short.unknown) == ((), ("env:OPS",), ("env:OPS",))
    table = '[notify]\nkept = "env:A"\nbroken = ["env:B", "file:/c"]\nheartbeat = "env:D"\ntextfile = "blackstart.prom"'
    whole = declared(tmp_path, table).notify
    assert (whole.kept, whole.broken, whole.unknown) == (("env:A",), ("env:B", "file:/c"), ())
    assert whole.textfile == tmp_path / "blackstart.prom"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('[notify]\nbrokn = "env:A"', "did you mean 'broken'"),
        ('[notify]\nbroken = "https://hooks.example/secret"', "must be a reference"),
        ('[notify]\nheartbeat = "https://hc.example/secret"', "must be a reference"),
        ("[notify]\nbroken = 3", "notify.broken"),
        ('[notify]\ntextfile = "blackstart.txt"', "must end in .prom"),
    ],
)
def test_a_mistake_in_the_declaration_is_named(tmp_path: Path, table: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        declared(tmp_path, table)
    assert 'secret"' not in str(refused.value)


def test_a_heartbeat_that_answers_without_an_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.patience.PATIENCE.delivery", 0.2)
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as silent,  # it takes the connection, and says nothing
        pytest.raises(HarnessError, match=r"heartbeat file:.*: no end within 0.2 s"),
    ):
        beat(reference(tmp_path, "slow", f"HTTP://127.0.0.1:{silent.getsockname()[1]}/{TOKEN}"))
