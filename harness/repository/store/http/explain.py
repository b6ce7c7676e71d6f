"""Errors of an object store, each in one line with its reason and what to do."""

from datetime import UTC
from email.utils import parsedate_to_datetime

from minio.error import S3Error
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError, ReadTimeoutError, SSLError

from harness.core.clock import SYSTEM
from harness.repository.store.http.connections import SERVER_FAULT, StorePatience

# Answers about whoever asks, or about the whole store; every other refusal of a read may be about that object alone.
OF_THE_STORE = (
    "InvalidAccessKeyId", "SignatureDoesNotMatch", "AccountProblem", "RequestTimeTooSkewed", "NoSuchBucket",
    "InvalidBucketName", "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "AuthorizationHeaderMalformed",
    "RequestTimeout", "SlowDown", "TooManyRequests", "RequestLimitExceeded",
)  # fmt: skip
REFUSAL, BUSY = range(400, 500), (408, 429)  # statuses
MEANINGS = {
    ("NoSuchBucket",): "no such bucket; create it, or correct its name",
    ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AccountProblem"): (
        "access denied ({code}); check the store's keys and their permissions (docs/STORES.md)"
    ),
    ("SlowDown", "ServiceUnavailable", "TooManyRequests", "RequestLimitExceeded"): (
        "the store is too busy ({code}); it refused every repeated request"
    ),
    ("XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "QuotaExceeded", "InsufficientStorage"): (
        "no space left ({code}); let `blackstart retention --apply` remove what expired"
    ),
}


def s3_error(error: S3Error) -> str:
    """Return what an answer of the store means."""
    code = str(error.code)
    if code == "RequestTimeTooSkewed":
        return f"refused: {_skew(error)}; set the clock of this machine, by NTP for example"
    for codes, meaning in MEANINGS.items():
        if code in codes:
            return meaning.format(code=code)
    return server_error(code) if error.response.status >= SERVER_FAULT else f"refused ({code}: {error.message})"


def of_one_object(error: S3Error) -> bool:
    """Return whether the refusal of a read may be about that object alone: whoever wrote it chose how it is kept.

    He may have encrypted it with a key of his own, archived it, or kept its rights for himself.
    """
    status = error.response.status
    return status in REFUSAL and status not in BUSY and error.code not in OF_THE_STORE


def _skew(error: S3Error) -> str:
    """Return how far this machine's clock is from the store's."""
    try:
        theirs = parsedate_to_datetime(error.response.headers.get("date", ""))
    except ValueError:
        return "this machine's clock and the store's differ too much"
    behind = (theirs.astimezone(UTC) - SYSTEM.wall()).total_seconds()
    return f"this machine's clock is {abs(behind):.0f} s {'behind' if behind > 0 else 'ahead of'} the store's"


def server_error(detail: str) -> str:
    """Return what an answer of a failing store means."""
    return f"no space left, or the store is failing ({detail}); check its log and its disk"


def no_answer(error: Exception, patience: StorePatience) -> str:
    """Return why there was no answer."""
    reason = error.reason if isinstance(error, MaxRetryError) and error.reason is not None else error
    # First, because NewConnectionError is a subclass of urllib3's TimeoutError.
    if isinstance(reason, NewConnectionError):
        return "connection refused; is the store running, and is this its address?"
    if isinstance(reason, ConnectTimeoutError):
        return f"no connection within {patience.connect:g} s; is this its address, and does a firewall let it through?"
    if isinstance(reason, SSLError):
        return f"no trusted TLS connection ({' '.join(str(reason).split())}); check tls, the certificate and its ca"
    if isinstance(reason, ReadTimeoutError):
        waited = patience.complete if "uploadId=" in str(reason.url) else patience.silence
        return f"no answer within {waited:g} s; the store hangs or is unreachable"
    return f"connection lost ({type(reason).__name__}); is the store still running?"
