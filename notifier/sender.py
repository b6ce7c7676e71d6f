"""Senders of apprise for the delivery target."""

from typing import Any, Protocol, cast
from urllib.parse import quote

from apprise import Apprise, NotifyFormat
from apprise.plugins.custom_json import NotifyJSON

# Schemes with request headers in the URL; for all others the idempotency key is only in the text.
WITH_HEADERS = ("json", "jsons", "form", "forms", "xml", "xmls")


class Sender(Protocol):
    """A target with the idempotency key of one message."""

    def notify(self, *, title: str, body: str, body_format: NotifyFormat) -> bool:
        """Send one message; return whether the target accepted it."""


def address(target: str, key: str) -> str:
    """Return the apprise URL `target`, with the idempotency key as a request header if its scheme has headers."""
    if scheme(target) not in WITH_HEADERS:
        return target
    return f"{target}{'&' if '?' in target else '?'}+Idempotency-Key={quote(key)}"


def scheme(target: str) -> str:
    """Return the scheme of a URL, in lower case."""
    return target.partition("://")[0].lower()


def sender(target: str, key: str) -> Sender | None:
    """Return the sender for one message, None if the target is not a URL of apprise."""
    url = address(target, key)
    if scheme(target) in {"json", "jsons"}:
        # The plugin that apprise would choose; loading all of its plugins takes a second.
        plugin = cast("Any", NotifyJSON)
        parts = plugin.parse_url(url)
        return cast("Sender", plugin(**parts)) if parts else None
    several = Apprise()
    return cast("Sender", several) if several.add(url) else None


def send(target: str, key: str, title: str, body: str) -> bool:
    """Send one message under its key; return whether the target accepted it."""
    to = sender(target, key)
    return to is not None and bool(to.notify(title=title, body=body, body_format=NotifyFormat.TEXT))
