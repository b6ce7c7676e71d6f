"""Alerts by apprise: mail, chat, webhooks and all other targets with an apprise URL."""

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.alerts.deadline import TooLate, within
from harness.core.errors import REPORTED, HarnessError, UsageError, reason_of
from harness.core.journal import Journal
from harness.core.text import visible, visible_lines
from harness.patience import PATIENCE
from harness.vault import read_text_secret

LOGGER = logging.getLogger("apprise")
# It writes the URL, which may contain a token.
CONNECTIONS = logging.getLogger("urllib3.connectionpool")
# What a plugin of apprise logs of an HTTP status, and of an answer that did not come. Nothing else is taken from there:
# it may contain the URL, or parts of it.
STATUS = re.compile(r"\berror=([1-5]\d\d)\b")
AWAY = re.compile("connection error", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Delivery:
    """Result of one alert. `targets`: how many accepted it; `failed`: references of the others, with the reasons."""

    sent: bool
    targets: int
    failed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Alerts:
    """Targets of alerts. `urls`: references to apprise URLs, which may contain passwords and are never shown."""

    urls: tuple[str, ...]

    def send(self, title: str, body: str) -> Delivery:
        """Send an alert to every target. Raises HarnessError when all failed, UsageError when none could be read."""
        failed: list[str] = []
        unread = 0
        for reference in self.urls:
            try:
                if reason := _notify(reference, title, body):
                    failed.append(f"{reference} ({reason})")
            except HarnessError as error:  # the targets after it are told all the same
                unread += isinstance(error, UsageError)
                failed.append(reason_of(error))
        sent = len(self.urls) - len(failed)
        if failed and not sent:
            kind = UsageError if unread == len(failed) else HarnessError
            raise kind(
                f"alert {title!r}: could not be delivered to {', '.join(failed)}; "
                "check these targets, and the URLs behind the references"
            )
        return Delivery(sent > 0, sent, tuple(failed))

    def try_send(self, title: str, body: str) -> Delivery:
        """Send an alert as `send` does; return a delivery to nobody, with the reason, in place of an error."""
        try:
            return self.send(title, body)
        except REPORTED as error:
            return Delivery(False, 0, (reason_of(error),))

    def missed(self, title: str, bodies: Sequence[str]) -> tuple[str, ...]:
        """Send alerts, each to every target; return lines with what was not told to whom, none when all were told."""
        if bodies and not self.urls:
            return (f"alert {title!r}: nobody is told; name targets in backup.alerts",)
        lines = []
        for body in bodies:
            told = self.try_send(title, body)
            lines += [f"alert {title!r}: not told to {target}" if told.sent else target for target in told.failed]
        return tuple(dict.fromkeys(lines))


def mark_alert(journal: Journal, subject: str, told: Delivery, *, message: str = "") -> None:
    """Journal whether an alert was sent, to how many targets and not to whom. Raises OSError of the journal."""
    missed = {"failed" if told.sent else "error": ", ".join(told.failed)} if told.failed else {}
    journal.mark("alert", subject, message=message, sent=told.sent, targets=told.targets, **missed)


def _notify(reference: str, title: str, body: str) -> str:
    """Return why the target did not accept the alert, without its URL; empty: it did.

    Raises UsageError when the reference cannot be read.
    """
    import apprise  # noqa: PLC0415 - a tenth of a second, and few runs alert

    CONNECTIONS.setLevel(logging.CRITICAL)
    LOGGER.setLevel(logging.WARNING)  # kept with the result, from this level on
    LOGGER.propagate = False  # its entries contain the URL, which may contain a token
    # A message that follows a redirect is asked for, not sent: a login page would take it for us.
    target = apprise.Apprise(asset=apprise.AppriseAsset(http_redirects=False))
    if not target.add(read_text_secret(reference)):
        return "no URL of apprise"
    # As text, so that a target which shows HTML has it escaped: names of others are in it.
    plain = apprise.NotifyFormat.TEXT

    def send() -> str:
        with target.notify(title=visible(title), body=visible_lines(body), body_format=plain) as result:
            return "" if result else reason_in(entry.message for entry in result.logs())

    try:
        return within(PATIENCE.delivery, send, f"alert to {reference}")
    except TooLate:
        return f"no end within {PATIENCE.delivery:g} s"


def reason_in(messages: Iterable[str]) -> str:
    """Return why a target did not accept an alert, from what apprise logged of it; no part of the URL is in it."""
    said = "\n".join(messages)
    if status := STATUS.search(said):
        return f"answered with {status[1]}"
    return "cannot be reached" if AWAY.search(said) else "not accepted"
