"""Offset of this machine's wall clock from a time server, asked once by SNTP (RFC 4330)."""

import socket
import struct
from datetime import UTC, datetime, timedelta

from harness.core.clock import SYSTEM, Clock
from harness.core.errors import HarnessError
from harness.core.journal import Journal
from harness.patience import PATIENCE

PORT = 123
EPOCH = datetime(1900, 1, 1, tzinfo=UTC)
REQUEST = bytes([0b00_100_011]) + bytes(47)  # version 4, client
PACKET = struct.Struct(">BBBb11I")
SERVER, UNSYNCHRONISED, FRACTION = 4, 0, 2**32
FARTHEST_STRATUM = 15


def note_offset(server: str, journal: Journal) -> None:
    """Journal the clock offset from `server` (HOST or HOST:PORT), or why it was not measured. Raises nothing for it."""
    if not server:
        return
    try:
        journal.mark("clock", server, offset_seconds=round(measured_offset(server), 3))
    except HarnessError as error:
        journal.mark("clock not measured", server, error=str(error))


def measured_offset(server: str, clock: Clock = SYSTEM) -> float:
    """Return the seconds by which the server's clock is ahead of this one's. Raises HarnessError without an answer."""
    host, _, port = server.rpartition(":") if server.count(":") == 1 else (server, "", str(PORT))
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as asked:
            asked.settimeout(PATIENCE.time_server)
            asked.connect(address)
            sent = clock.wall()
            asked.send(REQUEST)
            answer = asked.recv(PACKET.size)
            received = clock.wall()
        first, stratum, *words = PACKET.unpack(answer)
    except (OSError, ValueError, struct.error) as error:
        raise HarnessError(f"time server {server}: {error}") from None
    if first & 0b111 != SERVER or not UNSYNCHRONISED < stratum <= FARTHEST_STRATUM:
        raise HarnessError(f"time server {server}: not synchronised, or no time server")
    arrived, answered = (EPOCH + timedelta(seconds=words[at] + words[at + 1] / FRACTION) for at in (-4, -2))
    return ((arrived - sent) + (answered - received)).total_seconds() / 2
