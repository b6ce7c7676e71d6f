"""Alerts by apprise: mail, chat, webhooks and all other targets with an apprise URL."""

import logging
from dataclasses import dataclass

from harness.alerts.deadline import TooLate, within
from harness.core.errors import HarnessError
from harness.core.text import visible, visible_lines
from harness.patience import PATIENCE
from harness.vault import read_text_secret

# These loggers write the URL, which may contain a token.
SILENCED = ("apprise", "urllib3.connectionpool")


@dataclass(frozen=True, slots=True)
class Delivery:
    """Result of one alert. `targets`: how many targets accepted it; `failed`: references of the others."""

    sent: bool
    targets: int
    failed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Alerts:
    """Targets of alerts. `urls`: references to apprise URLs, which may contain passwords and are never shown."""

    urls: tuple[str, ...]

    def send(self, title: str, body: str) -> Delivery:
        """Send an alert to every target. Raises HarnessError when all failed, UsageError when one cannot be read."""
        failed = tuple(reference for reference in self.urls if not _notify(reference, title, body))
        sent = len(self.urls) - len(failed)
        if self.urls and not sent:
            raise HarnessError(
                f"alert {title!r}: could not be delivered to {', '.join(failed)}; check the URLs behind them"
            )
        return Delivery(sent > 0, sent, failed)


def _notify(reference: str, title: str, body: str) -> bool:
    """Return whether the target accepted the alert; raises UsageError when the reference cannot be read."""
    import apprise  # noqa: PLC0415 - a tenth of a second, and few runs alert

    for name in SILENCED:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # A message that follows a redirect is asked for, not sent: a login page would take it for us.
    target = apprise.Apprise(asset=apprise.AppriseAsset(http_redirects=False))
    added = target.add(read_text_secret(reference))
    # As text, so that a target which shows HTML has it escaped: names of others are in it.
    plain = apprise.NotifyFormat.TEXT

    def send() -> bool:
        return bool(target.notify(title=visible(title), body=visible_lines(body), body_format=plain))

    try:
        return bool(added) and within(PATIENCE.delivery, send, f"alert to {reference}")
    except TooLate:
        return False
