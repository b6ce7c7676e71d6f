"""Read of an object, or of a part of it: what is cut off is asked for again from there on."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import ProtocolError, ReadTimeoutError

from harness.core.clock import SYSTEM
from harness.repository.store.http.connections import pause
from harness.repository.store.pace import Pace, paced

CHUNK = 1 << 20
Ask = Callable[[int, int, dict[str, str]], BaseHTTPResponse]


@dataclass(slots=True)
class Reading:
    """A read of `length` bytes, 0: all. `ask`: begins one of so many bytes from a byte on, with these headers.

    `repeats`: seconds without a byte after which it is given up; `done`: bytes that came; `same`: the header by which a
    store refuses to go on with another object; `exact`: whether each byte is counted that came before silence, and not
    whole chunks alone.
    """

    ask: Ask
    length: int
    repeats: float
    pace: Pace | None = None
    same: dict[str, str] = field(default_factory=dict)
    done: int = 0
    exact: bool = False

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes. Raises as the client does."""
        attempt, began = 0, SYSTEM.monotonic()
        while True:
            left = self.length - self.done if self.length else 0
            answer = self.ask(self.done, left, self.same)
            self.same = {"If-Match": answer.headers.get("etag", "")} if answer.headers.get("etag") else {}
            source = as_they_come(answer) if self.exact else answer.stream(CHUNK)
            try:
                for chunk in paced(self.pace, at_most(source, left)):
                    self.done, attempt = self.done + len(chunk), 0
                    yield chunk
                    began = SYSTEM.monotonic()
            except (ProtocolError, ReadTimeoutError):
                if not pause(attempt, began, self.repeats):
                    raise
                attempt += 1
            else:
                return
            finally:
                # Closed instead of released: unread bytes would break the next request on the connection.
                answer.close()


def as_they_come(answer: BaseHTTPResponse) -> Iterator[bytes]:
    """Yield the bytes of an answer, however few there are at a time."""
    while piece := answer.read1(CHUNK):
        yield piece


def at_most(chunks: Iterable[bytes], length: int) -> Iterator[bytes]:
    """Yield the first `length` bytes, 0: all: a store may send more than it was asked for, without an end."""
    left = length
    for chunk in chunks:
        yield chunk[:left] if length else chunk
        left -= len(chunk)
        if length and left <= 0:
            return


def beyond(chunks: Iterable[bytes], begin: int) -> Iterator[bytes]:
    """Yield the bytes from the byte `begin` on."""
    left = begin
    for chunk in chunks:
        if len(chunk) > left:
            yield chunk[left:]
        left -= min(left, len(chunk))
