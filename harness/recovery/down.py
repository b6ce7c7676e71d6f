"""Evidence that the primary is down, before a recovery may take its place."""

import socket
from urllib.parse import urlsplit

from harness.core.errors import Refused, UsageError
from harness.patience import PATIENCE

FAILED_CONNECTIONS = 3  # in a row, after which the primary counts as down
PORTS = {"http": 80, "https": 443}


def require_down(witness: str, fenced: str) -> str:
    """Return the evidence that the primary is down. Raises Refused while `witness` is alive, UsageError without any.

    What accepts a connection lives, whatever it says: a certificate that is not trusted here, a redirect and a slow
    answer are no evidence of an end.
    """
    if fenced:
        return f"fenced: {fenced}"
    if not witness:
        raise UsageError("no evidence that the primary is down; add --witness URL (it must fail) or --fenced WHY")
    address = _address(witness)
    for _ in range(FAILED_CONNECTIONS):
        try:
            socket.create_connection(address, PATIENCE.witness).close()
        except socket.gaierror as error:
            raise UsageError(
                f"--witness {witness}: its host has no address here ({error.strerror}), which says nothing of the "
                "primary; correct it, write its address, or add --fenced WHY"
            ) from None
        except OSError:
            continue
        host, port = address
        raise Refused(
            f"the primary still answers at {witness}: port {port} of {host} takes connections; "
            "fence it before you recover, and add --fenced WHY"
        )
    return f"witnessed down: {witness}"


def _address(witness: str) -> tuple[str, int]:
    """Return host and port of a URL; raises UsageError."""
    try:
        url = urlsplit(witness)
        port = url.port or PORTS.get(url.scheme, 0)
    except ValueError:
        url, port = urlsplit(""), 0
    if url.scheme not in PORTS or not url.hostname or not port:
        raise UsageError(
            f"--witness {witness}: is no URL of the primary; write http:// or https://, its host and its port"
        )
    return url.hostname, port
