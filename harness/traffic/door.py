"""HTTP client for the public name, outside both sites."""

import base64
import http.client
import json as json_text
import threading
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from http.cookiejar import CookieJar
from types import MappingProxyType

from harness.core.clock import SYSTEM
from harness.core.service import Answer, PublicDoor
from harness.patience import PATIENCE
from harness.vault import read_text_secret

NONE: Mapping[str, str] = MappingProxyType({})
CHUNK = 64 * 1024
HTTP_PORT = 80
CLIENTS = "clients"  # user name of the clients in the gateway's list of users
GATEWAY_KEY = "gateway-key"  # the secret that holds their password
SITE_HEADER = "X-Site"  # set by each site's gateway on every answer
SITE_PATH = "/.gateway/ping"  # answered by the gateway itself, even if the services behind it are down


@dataclass(frozen=True, slots=True)
class Door:
    """HTTP client that resolves the name anew for every request, follows no redirect; safe for threads."""

    public_name: str
    port: int
    resolve: Callable[[str], str]
    _jars: dict[str, CookieJar] = field(default_factory=dict, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        body: bytes | None = None,
        headers: Mapping[str, str] = NONE,
        session: str = "",
        patience: float = 10.0,
    ) -> Answer:
        """Send a request on a new connection, with the cookies of `session`; return the answer. Raises OSError.

        A body without a content type is sent as JSON.
        """
        deadline = SYSTEM.monotonic() + patience
        body = body if json is None else json_text.dumps(json).encode()
        host = self.public_name if self.port == HTTP_PORT else f"{self.public_name}:{self.port}"
        request = urllib.request.Request(f"http://{host}{path}", body, dict(headers), method=method)
        if body is not None and not request.has_header("Content-type"):
            request.add_header("Content-type", "application/json")
        jar = self._jar(session) if session else None
        if jar is not None:
            jar.add_cookie_header(request)
        lines = {"Host": host, **dict(request.header_items()), "Connection": "close"}
        address = self.resolve(self.public_name)
        connection = http.client.HTTPConnection(address, self.port, timeout=self._left(deadline, address))
        with closing(connection):
            try:
                connection.request(method, path, body, lines)
                return self._read(connection, request, jar, deadline)
            except TimeoutError as error:
                raise TimeoutError(f"{method} {path}: no answer from {address} within {patience:g} s") from error
            except (http.client.BadStatusLine, http.client.IncompleteRead, http.client.LineTooLong) as error:
                if isinstance(error, ConnectionError):
                    raise
                raise ConnectionError(f"{method} {path}: broken answer from {address}: {error!r}") from error

    def _read(
        self,
        connection: http.client.HTTPConnection,
        request: urllib.request.Request,
        jar: CookieJar | None,
        deadline: float,
    ) -> Answer:
        stream = connection.sock
        stream.settimeout(self._left(deadline, connection.host))
        response = connection.getresponse()
        if jar is not None:
            jar.extract_cookies(response, request)
        parts = []
        while part := response.read1(CHUNK):
            parts.append(part)
            stream.settimeout(self._left(deadline, connection.host))
        if response.length:  # read1 does not raise when the connection ends before Content-Length
            raise http.client.IncompleteRead(b"".join(parts), response.length)
        found: dict[str, str] = {}
        for name, value in response.getheaders():
            lower = name.lower()
            found[lower] = f"{found[lower]}, {value}" if lower in found else value
        return Answer(response.status, b"".join(parts), found)

    def _left(self, deadline: float, address: str) -> float:
        left = deadline - SYSTEM.monotonic()
        if left <= 0:
            raise TimeoutError(f"{address}: timed out")
        return left

    def _jar(self, session: str) -> CookieJar:
        with self._lock:
            return self._jars.setdefault(session, CookieJar())


def basic_auth(password_ref: str, user: str = CLIENTS) -> dict[str, str]:
    """Return the `Authorization` header of HTTP Basic (RFC 7617). Raises UsageError when the password is unreadable."""
    token = base64.b64encode(f"{user}:{read_text_secret(password_ref)}".encode()).decode()
    return {"Authorization": f"Basic {token}"}


def served_by(door: PublicDoor) -> str | None:
    """Return the name of the site whose gateway answers a new connection, None if it names none. Raises OSError."""
    return door.request("GET", SITE_PATH, patience=PATIENCE.site_probe).headers.get(SITE_HEADER.lower())
