"""What a client does when a store is slow, busy, failing or gone: against a real HTTP server that does these."""

from __future__ import annotations

import re
import socket
from dataclasses import replace

import pytest

from harness.core.clock import SYSTEM, Clock
from harness.core.errors import HarnessError, Unreadable
from harness.repository.store.directory.files import DirectoryStore
from harness.repository.store.http.connections import patience_of
from harness.repository.store.pace import Pace
from harness.repository.store.s3_client import PART
from tests.repository.store.faulty import QUICK, Fault, Request, faulty

LARGE = PART + 1000


def first(kind: str, fault: Fault, times: int = 1) -> object:
    return lambda request: fault if request.kind == kind and request.number < times else None


@pytest.mark.parametrize(
    "fault",
    [
        Fault(503, "SlowDown"),
        Fault(500, "InternalError"),
        Fault(429, "TooManyRequests"),
        Fault(400, "RequestTimeout"),
        Fault(reset=True),
        Fault(reset=True, done=True),
    ],
    ids=["503", "500", "429", "RequestTimeout", "reset", "answer lost"],
)
@pytest.mark.parametrize("kind", ["put", "create", "part", "complete", "get"])
def test_what_passes_is_repeated(kind: str, fault: Fault) -> None:
    size = 100 if kind in ("put", "get") else LARGE
    with faulty(first(kind, fault)) as server:  # type: ignore[arg-type]
        store = server.store()
        assert store.put("a", (b"x" * size,)) == size
        assert b"".join(store.get("a")) == b"x" * size
        assert server.objects["a"] == b"x" * size
        assert server.count(kind) >= 2


@pytest.mark.parametrize("kind", ["put", "complete"])
def test_silence_is_repeated(kind: str) -> None:
    size = 100 if kind == "put" else LARGE
    short = replace(QUICK, silence=1.0) if kind == "put" else replace(QUICK, complete=1.0)
    with faulty(first(kind, Fault(silent=3.0))) as server:  # type: ignore[arg-type]
        assert server.store(short).put("a", (b"x" * size,)) == size
        assert server.count(kind) >= 2


@pytest.mark.parametrize("code", ["AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"])
def test_what_is_denied_is_asked_once(code: str) -> None:
    with faulty(lambda _request: Fault(403, code)) as server:
        with pytest.raises(HarnessError, match=rf"a: cannot be stored: access denied \({code}\)"):
            server.store().put("a", (b"x",))
        assert server.count("put") == 1


def test_what_is_absent_is_asked_once() -> None:
    with faulty() as server:
        with pytest.raises(Unreadable, match="does not exist"):
            list(server.store().get("a"))
        assert server.count("get") == 1


def test_a_wrong_clock_is_named_with_its_remedy() -> None:
    with faulty(lambda _request: Fault(403, "RequestTimeTooSkewed")) as server:
        with pytest.raises(HarnessError, match=r"this machine's clock is \d+ s (behind|ahead of) the store's; set"):
            server.store().put("a", (b"x",))
        assert server.count("put") == 1


def test_a_store_that_stays_busy_is_given_up_in_time() -> None:
    with faulty(lambda _request: Fault(503, "SlowDown")) as server:
        began = SYSTEM.monotonic()
        with pytest.raises(HarnessError, match="the store is too busy"):
            server.store(replace(QUICK, repeats=1.5)).put("a", (b"x",))
        assert 1.5 <= SYSTEM.monotonic() - began < 10
        assert 2 <= server.count("put") <= 60


def test_a_slow_end_of_an_upload_is_no_dead_store_and_silence_elsewhere_is() -> None:
    short = replace(QUICK, silence=2.0, repeats=0.1)
    with faulty(first("complete", Fault(silent=3.0))) as server:  # type: ignore[arg-type]
        assert server.store(short).put("a", (b"x" * LARGE,)) == LARGE
        assert server.count("complete") == 1
    hangs = pytest.raises(HarnessError, match=r"no answer within 2 s; the store hangs")
    with faulty(lambda request: Fault(silent=3.0) if request.kind == "put" else None) as server, hangs:
        server.store(short).put("a", (b"x",))


def test_an_upload_that_was_put_together_before_its_answer_was_lost_is_stored() -> None:
    with faulty(first("complete", Fault(reset=True, done=True))) as server:  # type: ignore[arg-type]
        assert server.store().put("a", (b"x" * LARGE,)) == LARGE
        assert server.count("complete") == 2
        assert server.count("abort") == 0


def test_an_upload_that_somebody_aborted_is_not_stored() -> None:
    with faulty(first("complete", Fault(404, "NoSuchUpload"), 99)) as server:  # type: ignore[arg-type]
        with pytest.raises(HarnessError, match="a: "):
            server.store().put("a", (b"x" * LARGE,))
        assert "a" not in server.objects


def test_an_error_after_status_200_is_no_success() -> None:
    with faulty(first("complete", Fault(200, "InternalError"))) as server:  # type: ignore[arg-type]
        assert server.store().put("a", (b"x" * LARGE,)) == LARGE
        assert server.count("complete") == 2
    with faulty(first("complete", Fault(200, "InternalError"), 99)) as server:  # type: ignore[arg-type]
        with pytest.raises(HarnessError, match="InternalError"):
            server.store(replace(QUICK, repeats=0.5)).put("a", (b"x" * LARGE,))
        assert server.uploads == {}


@pytest.mark.parametrize("length", [0, 2_500_000])
def test_a_body_that_is_cut_off_is_read_on_from_there(length: int) -> None:
    data = bytes(range(250)) * 12_000

    def cut(request: Request) -> Fault | None:
        return Fault(cut=1_000_000) if request.kind == "get" and request.number < 2 else None

    with faulty(cut) as server:
        server.objects["a"] = data
        assert b"".join(server.store().get("a", 7, length)) == data[7 : 7 + length if length else None]
        assert server.count("get") == 3
        assert server.requests[-1].headers["if-match"] == '"e"'


def test_a_body_that_is_always_cut_off_is_an_error() -> None:
    with faulty(lambda request: Fault(cut=0) if request.kind == "get" else None) as server:
        server.objects["a"] = b"x" * 100
        with pytest.raises(HarnessError, match="a: cannot be read: connection lost"):
            list(server.store(replace(QUICK, repeats=0.5)).get("a"))


def test_a_store_that_is_gone_is_noticed_sooner_than_one_that_is_slow() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with faulty() as server:
            server.port = taken.getsockname()[1]
            began = SYSTEM.monotonic()
            with pytest.raises(HarnessError, match="connection refused"):
                server.store(replace(QUICK, repeats=60)).put("a", (b"x",))
            assert SYSTEM.monotonic() - began < 15


def test_production_is_patient_and_a_drill_is_not() -> None:
    production, drill = patience_of(), patience_of(short=True)
    assert production.complete >= 600
    assert production.silence >= 30
    assert production.connect <= 5
    assert max(drill.silence, drill.repeats) <= 5
    assert drill.complete <= 10


def test_headers_of_new_objects_are_sent_with_the_object_alone() -> None:
    wanted = {"x-amz-storage-class": "STANDARD_IA", "x-amz-server-side-encryption": "AES256"}
    with faulty() as server:
        store = server.store(headers=wanted)
        store.put("small", (b"x",))
        store.put("large", (b"x" * LARGE,))
        having = {(r.kind, r.key) for r in server.requests if wanted.items() <= r.headers.items()}
        assert having == {("put", "small"), ("create", "large")}
        signed = next(r for r in server.requests if r.kind == "create").headers["authorization"]
        assert re.search("SignedHeaders=.*x-amz-storage-class", signed)


def test_uploads_keep_to_the_bandwidth_over_all_threads() -> None:
    rate = 40_000_000
    with faulty() as server:
        store, began = server.store(upload=Pace(rate)), SYSTEM.monotonic()
        store.put("a", (b"x" * (2 * PART),))  # two parts at a time
        took = SYSTEM.monotonic() - began
        assert took >= 2 * PART / rate * 0.9
        assert b"".join(store.get("a", 0, 10)) == b"x" * 10


def test_a_directory_keeps_to_the_bandwidth(directory: DirectoryStore) -> None:
    store, began = replace(directory, upload=Pace(2_000_000)), SYSTEM.monotonic()
    store.put("a", (b"x" * 500_000,) * 3)
    assert SYSTEM.monotonic() - began >= 0.45
    began = SYSTEM.monotonic()
    assert len(b"".join(replace(directory, download=Pace(3_000_000)).get("a"))) == 1_500_000
    assert SYSTEM.monotonic() - began >= 0.3


def test_nothing_is_saved_up_during_a_pause() -> None:
    now, slept = [100.0], list[float]()
    pace = Pace(1000, Clock(lambda: now[0], SYSTEM.wall, slept.append))
    pace.wait(500)
    now[0] += 3600
    pace.wait(500)
    pace.wait(500)
    pace.wait(500)
    assert slept == [0.5, 1.0]
    assert pace.piece == 4096
