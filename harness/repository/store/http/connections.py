"""Connections to an object store: how long each phase of a request may take, and which requests are repeated.

Repeated: 408, 429, 500, 502, 503, 504, a lost connection, silence. Never: any other answer (403, 404), an untrusted
certificate. Pauses grow and are random ("full jitter": Brooker, 2015, AWS Architecture Blog), so that clients of a busy
store do not come back at the same moment.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import count
from typing import Any

from minio.error import MinioException
from urllib3 import BaseHTTPResponse, HTTPResponse, PoolManager, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProtocolError, ReadTimeoutError

from harness.core.clock import SYSTEM
from harness.patience import PATIENCE
from harness.repository.store.pace import LARGEST, Pace

AGAIN = (408, 429, 500, 502, 503, 504)
TIMED_OUT = b"<Code>RequestTimeout</Code>"  # of S3, with 400: it waited for the body
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0  # seconds
POOL = 16
BEGIN = 512  # bytes of an answer in which an error shows
LARGEST_ANSWER = 16 << 20  # bytes; 1,000 keys of 1,024 bytes, each in three characters, are a listing of 4 MiB
OK, BAD_REQUEST, SERVER_FAULT = 200, 400, 500
DONE = (OK, 204, 206)  # statuses of answers that a client may read piece by piece


class OddAnswer(MinioException):
    """An answer that no S3 store gives: a page of a proxy, one without an end."""


@dataclass(frozen=True, slots=True)
class StorePatience:
    """Seconds: until a connection is taken, until the next byte, until an upload is put together from its parts.

    `repeats`: for how long a request that fails is repeated; `connects`: one that finds no store.
    """

    connect: float
    silence: float
    complete: float
    repeats: float
    connects: float


def patience_of(*, short: bool = False) -> StorePatience:
    """Return the patience of production, or that of a drill, in which a dead store must be noticed within seconds."""
    wait = PATIENCE
    if short:
        return StorePatience(
            wait.store_connect, wait.drill_store_silence, wait.drill_store_complete, wait.drill_store_repeats, 1.0
        )
    return StorePatience(
        wait.store_connect, wait.store_silence, wait.store_complete, wait.store_repeats, wait.store_absence
    )


def connections(certificates: str | None, patience: StorePatience, pace: Pace | None = None) -> PoolManager:
    """Return a pool of connections. `certificates`: trusted ones, None without TLS; `pace`: of what is sent."""
    plain = type("Plain", (_Sends, HTTPConnection), {"pace": pace})
    secure = type("Secure", (_Sends, HTTPSConnection), {"pace": pace})
    pool = _Repeating(patience, certificates)
    pool.pool_classes_by_scheme = {
        "http": type("PlainPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("SecurePool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
    }
    return pool


class _Sends(HTTPConnection):
    """Sends a body in pieces: a socket timeout covers one call, and 16 MiB in one call would fail on slow lines."""

    pace: Pace | None = None

    def send(self, data: Any) -> None:
        if not isinstance(data, bytes | memoryview):
            super().send(data)
            return
        for piece in _pieces(memoryview(data), self.pace.piece if self.pace else LARGEST):
            if self.pace:
                self.pace.wait(len(piece))
            super().send(piece)


def _pieces(view: memoryview, size: int) -> Iterator[memoryview]:
    for start in range(0, len(view), size):
        yield view[start : start + size]


class _Repeating(PoolManager):
    """A pool that repeats what may succeed later."""

    def __init__(self, patience: StorePatience, certificates: str | None) -> None:
        super().__init__(maxsize=POOL, cert_reqs="CERT_REQUIRED", ca_certs=certificates)
        self.patience = patience

    def urlopen(self, method: str, url: str, redirect: bool = True, **more: Any) -> BaseHTTPResponse:  # type: ignore[override]
        completes = method == "POST" and "uploadId=" in url
        silence = self.patience.complete if completes else self.patience.silence
        more |= {"timeout": Timeout(connect=self.patience.connect, read=silence), "retries": False}
        streamed = not more.get("preload_content", True)
        began = SYSTEM.monotonic()
        for attempt in count():
            try:
                answer = super().urlopen(method, url, redirect, **more | {"preload_content": False})
                if not streamed or answer.status not in DONE:
                    answer = _whole(answer, method, url)
                if completes and answer.status == OK and b"<Error>" in answer.data[:BEGIN]:
                    answer.status = SERVER_FAULT  # S3 answers 200 first, and may fail afterwards
                if not _passing(answer) or not pause(attempt, began, self.patience.repeats):
                    return answer
            except (ConnectTimeoutError, NewConnectionError):
                if not pause(attempt, began, self.patience.connects):
                    raise
            except (ProtocolError, ReadTimeoutError):
                if not pause(attempt, began, self.patience.repeats):
                    raise
        raise AssertionError


def _whole(answer: BaseHTTPResponse, method: str, url: str) -> BaseHTTPResponse:
    """Return an answer with its body in memory. Raises OddAnswer for one that is larger than any of a store."""
    body = answer.read(LARGEST_ANSWER + 1)
    if len(body) > LARGEST_ANSWER:
        answer.close()
        raise OddAnswer(f"its answer has more than {LARGEST_ANSWER >> 20} MiB")
    answer.release_conn()
    return HTTPResponse(
        BytesIO(body),
        answer.headers,
        answer.status,
        reason=answer.reason,
        decode_content=False,
        enforce_content_length=False,
        request_method=method,
        request_url=url,
    )


def pause(attempt: int, began: float, within: float) -> bool:
    """Wait after attempt `attempt`, from 0, and return True; False once `within` seconds from `began` passed."""
    left = within - (SYSTEM.monotonic() - began)
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2**attempt)
    if left <= 0:
        return False
    SYSTEM.sleep(min(left, random.uniform(0, longest)))  # noqa: S311 - no secret
    return True


def _passing(answer: BaseHTTPResponse) -> bool:
    """Return whether a later attempt may be answered otherwise."""
    return answer.status in AGAIN or (answer.status == BAD_REQUEST and TIMED_OUT in answer.data[:BEGIN])
