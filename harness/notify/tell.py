"""Tells people and machines the outcome of a drill or a restore test. A failure to tell changes no verdict."""

from collections.abc import Callable
from pathlib import Path

import requests

from harness.alerts.alerts import Alerts
from harness.alerts.deadline import within
from harness.core.clock import SYSTEM
from harness.core.errors import HarnessError, UsageError, reason_of
from harness.core.judge import Verdict
from harness.core.record import DrillRecord
from harness.core.told import Told
from harness.estate.notify_config import NotifyTable
from harness.evidence.report.view import view_of
from harness.evidence.told import write_told
from harness.notify.message import body_of, title_of
from harness.notify.textfile import write_textfile
from harness.patience import PATIENCE
from harness.vault import read_text_secret

HEARTBEAT, TEXTFILE = "heartbeat", "textfile"
# What a plugin of apprise, a URL or a file may raise: each is a failed delivery.
UNDELIVERED = (HarnessError, OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError)
BAD = 400  # from this HTTP status a heartbeat was refused


def tell(record: DrillRecord, notify: NotifyTable, folder: Path) -> tuple[Told, ...]:
    """Send the outcome to everybody that is declared, write `told.json` and return the deliveries.

    Nothing is raised for what cannot be delivered: it is in the result with its reason, without any secret.
    """
    view = view_of(record)
    title, body = title_of(view), body_of(view, folder.name)
    told = [_attempt(target, lambda t=target: Alerts((t,)).send(title, body)) for target in notify.of(view.outcome)]  # type: ignore[misc]
    if notify.heartbeat is not None and view.verdict == Verdict.KEPT and view.as_expected:
        url = notify.heartbeat
        told.append(_attempt(HEARTBEAT, lambda: beat(url)))
    if notify.textfile is not None:
        file, missed = notify.textfile, sum(not one.delivered for one in told)
        told.append(_attempt(TEXTFILE, lambda: write_textfile(file, view, missed)))
    if told:
        write_told(folder, tuple(told))
    return tuple(told)


def tell_not_started(what: str, estate: str, reason: str, notify: NotifyTable) -> tuple[Told, ...]:
    """Send to the targets of `unknown` that a restore test could not be started; there is no record. Raises nothing."""
    title = f"blackstart: UNKNOWN: {what} ({estate})"
    body = f"It could not be started: {reason}\nThere is no record."
    return tuple(
        _attempt(target, lambda t=target: Alerts((t,)).send(title, body))  # type: ignore[misc]
        for target in notify.of("unknown")
    )


def beat(reference: str) -> None:
    """Call the heartbeat URL behind a reference. Raises UsageError for no URL, HarnessError when it is not answered."""
    url = read_text_secret(reference)
    if not url.lower().startswith(("https://", "http://")):
        raise UsageError(f"heartbeat {reference}: not a http or https URL")

    def call() -> int:
        # Of the body nothing is read: it may never end.
        with requests.get(url, timeout=PATIENCE.heartbeat, stream=True) as answer:
            return answer.status_code

    try:
        status = within(PATIENCE.delivery, call, f"heartbeat {reference}")
    except requests.RequestException as error:  # its message contains the URL, which may be a secret
        raise HarnessError(f"heartbeat {reference}: {type(error).__name__}") from None
    if status >= BAD:
        raise HarnessError(f"heartbeat {reference}: answered with {status}")


def lines_of(told: tuple[Told, ...]) -> tuple[str, ...]:
    """Return one line for each delivery."""
    return tuple(f"told: {one.target}" if one.delivered else f"NOT told: {one.target}: {one.reason}" for one in told)


def _attempt(target: str, send: Callable[[], object]) -> Told:
    reason = ""
    try:
        send()
    except UNDELIVERED as error:
        reason = reason_of(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {_of(error)}"
    return Told(target, not reason, SYSTEM.wall().isoformat(timespec="seconds"), reason)


def _of(error: BaseException) -> str:
    """Return what an operating system says; other messages may quote the URL."""
    return (error.strerror or "") if isinstance(error, OSError) else "see the target behind the reference"
