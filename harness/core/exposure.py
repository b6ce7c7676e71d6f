"""Exposure: the longest time without a new backup."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise


def exposure(snapshots: Iterable[datetime], until: datetime, window: timedelta) -> float | None:
    """Return the largest gap in seconds between snapshots in the window, including the gap up to `until`.

    A gap that begins before the window counts in full. None without any snapshot.
    """
    taken = sorted(s for s in snapshots if s <= until)
    if not taken:
        return None
    moments = [*taken, until]
    start = until - window
    return max(
        (later - earlier).total_seconds() for earlier, later in pairwise(moments) if later > start or later == until
    )
