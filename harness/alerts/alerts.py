"""Alerts by way of apprise: mail, chat, webhooks, whatever it has a URL for."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import apprise

from harness.core.errors import HarnessError
from harness.vault import read_text_secret

# Both name the URL in what they log, and a URL holds the token that lets one post there.
TALKATIVE = ("apprise", "urllib3.connectionpool")


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of one alert. `sent`: somebody was told; `targets`: how many; `failed`: references of the others."""

    sent: bool
    targets: int
    failed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Alerts:
    """Who is told: `urls` are references to apprise URLs, which may hold passwords and are never shown."""

    urls: tuple[str, ...]

    def send(self, title: str, body: str) -> Delivery:
        """Tell every target and return who was told; with no target at all nobody was.

        Raises HarnessError, naming the references, when there are targets and none could be told.
        """
        failed = tuple(reference for reference in self.urls if not _tell(reference, title, body))
        told = len(self.urls) - len(failed)
        if self.urls and not told:
            raise HarnessError(
                f"alert {title!r}: could not be delivered to {', '.join(failed)}; see whether they are right"
            )
        return Delivery(told > 0, told, failed)


def _tell(reference: str, title: str, body: str) -> bool:
    """Return whether that target took the alert; raises UsageError when the reference cannot be read."""
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    target = apprise.Apprise()
    return bool(target.add(read_text_secret(reference)) and target.notify(title=title, body=body))
