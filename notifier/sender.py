"""Senders: what apprise makes of a target."""

from __future__ import annotations

from typing import Any, Protocol, cast
from urllib.parse import quote

from apprise import Apprise, NotifyFormat
from apprise.plugins.custom_json import NotifyJSON

# These take request headers in their URL; to the others the key goes in the text alone.
WITH_HEADERS = ("json", "jsons", "form", "forms", "xml", "xmls")


class Sender(Protocol):
    """One target under one idempotency key."""

    def notify(self, *, title: str, body: str, body_format: NotifyFormat) -> bool:
        """Send one message; whether the target took it."""
        ...


def address(target: str, key: str) -> str:
    """Return the apprise URL `target` with the idempotency key as a request header, where it can have one."""
    if scheme(target) not in WITH_HEADERS:
        return target
    return f"{target}{'&' if '?' in target else '?'}+Idempotency-Key={quote(key)}"


def scheme(target: str) -> str:
    """Return what stands before `://`."""
    return target.partition("://")[0].lower()


def sender(target: str, key: str) -> Sender | None:
    """Return the sender for one message, or None when apprise can make nothing of the target."""
    url = address(target, key)
    if scheme(target) in {"json", "jsons"}:
        # The same plugin that apprise would choose, without loading its hundred others: a second at every start.
        plugin = cast("Any", NotifyJSON)
        parts = plugin.parse_url(url)
        return cast("Sender", plugin(**parts)) if parts else None
    several = Apprise()
    return cast("Sender", several) if several.add(url) else None


def send(target: str, key: str, title: str, body: str) -> bool:
    """Send one message under its key; whether the target took it."""
    to = sender(target, key)
    return to is not None and bool(to.notify(title=title, body=body, body_format=NotifyFormat.TEXT))
