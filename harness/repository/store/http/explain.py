"""Errors of an object store, each in one line with its reason and what to do."""

from datetime import UTC
from email.utils import parsedate_to_datetime

from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationParseError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from harness.core.clock import SYSTEM
from harness.repository.store.http.connections import SERVER_FAULT, OddAnswer, StorePatience
from harness.repository.store.http.listing import NotAListingError

# Answers about whoever asks, or about the whole store; every other refusal of a read may be about that object alone.
OF_THE_STORE = (
    "InvalidAccessKeyId", "SignatureDoesNotMatch", "AccountProblem", "RequestTimeTooSkewed", "NoSuchBucket",
    "InvalidBucketName", "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "AuthorizationHeaderMalformed",
    "RequestTimeout", "SlowDown", "TooManyRequests", "RequestLimitExceeded",
)  # fmt: skip
REFUSAL, BUSY, UNAVAILABLE = range(400, 500), (408, 429), 503  # statuses
ELSEWHERE = (
    "PermanentRedirect",
    "TemporaryRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
)
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


def explained(error: MinioException | HTTPError, patience: StorePatience) -> str:
    """Return what an exception of the client means, and what to do."""
    match error:
        case S3Error():
            return s3_error(error)
        case NotAListingError():
            return str(error)
        case OddAnswer() | InvalidResponseError():
            return odd_answer(error)
        case ServerError():
            return server_error(" ".join(str(error).split())[:120])
    return no_answer(error, patience)


def s3_error(error: S3Error) -> str:
    """Return what an answer of the store means."""
    code = str(error.code)
    if code == "RequestTimeTooSkewed":
        return f"refused: {_skew(error)}; set the clock of this machine, by NTP for example"
    if code in ELSEWHERE:
        region = error.response.headers.get("x-amz-bucket-region")
        its = f", which is {region}," if region else ""
        return (
            f"refused ({code}: {error.message}); declare the region of the bucket{its} and the endpoint of that region"
        )
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


def of_damage(error: Exception) -> bool:
    """Return whether a read that failed again and again may have met a damaged object, in a store that is well.

    An answer that is cut off, silence in the middle of it, a fault of the server. Of 503 not: it says that it is busy.
    """
    return isinstance(error, ProtocolError | ReadTimeoutError) or _status(error) in range(SERVER_FAULT, UNAVAILABLE)


def _status(error: Exception) -> int:
    """Return the status of an answer, 0 where there was none."""
    if isinstance(error, S3Error):
        return int(error.response.status)
    if isinstance(error, InvalidResponseError):
        return int(vars(error)["_code"])  # it is in no public place
    return error.status_code if isinstance(error, ServerError) else 0


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


def odd_answer(error: MinioException) -> str:
    """Return what an answer means that is not in the language of S3."""
    said = " ".join(str(error).split())
    if isinstance(error, InvalidResponseError):
        status = _status(error)
        if status >= SERVER_FAULT:
            return server_error(said[:120])
        said = f"its answer, with status {status}, is not that of an S3 store"
    return f"{said}; is this its address, and does a proxy or a login page answer in its place?"


UNREACHED: tuple[tuple[type[Exception], str], ...] = (  # in this order, as some are subclasses of others
    (SSLError, "no trusted TLS connection ({said}); check tls, the certificate and its ca"),
    (
        NameResolutionError,
        "no address is known for its name; correct the name, or see whether this machine can ask its name server",
    ),
    (LocationParseError, "no host can have that name; correct the address"),
    # Before the next one: NewConnectionError is a subclass of urllib3's TimeoutError.
    (NewConnectionError, "connection refused; is the store running, and is this its address?"),
    (
        ConnectTimeoutError,
        "no connection within {connect:g} s; is this its address, and does a firewall let it through?",
    ),
    (ReadTimeoutError, "no answer within {waited:g} s; the store hangs or is unreachable"),
)


def no_answer(error: Exception, patience: StorePatience) -> str:
    """Return why there was no answer."""
    reason = error.reason if isinstance(error, MaxRetryError) and error.reason is not None else error
    waited = patience.complete if "uploadId=" in str(getattr(reason, "url", "")) else patience.silence
    for kind, text in UNREACHED:
        if isinstance(reason, kind):
            return text.format(said=" ".join(str(reason).split()), connect=patience.connect, waited=waited)
    return f"connection lost ({type(reason).__name__}); is the store still running?"
