"""How long the estate was, at worst, without a fresh backup."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import pairwise


def exposure(snapshots: Iterable[datetime], until: datetime, window: timedelta) -> float | None:
    """Return the largest gap in seconds between snapshots of the window, the open one to `until` included.

    A gap that begins before the window counts whole. None when there is no snapshot at all.
    """
    taken = sorted(s for s in snapshots if s <= until)
    if not taken:
        return None
    moments = [*taken, until]
    start = until - window
    return max(
        (later - earlier).total_seconds() for earlier, later in pairwise(moments) if later > start or later == until
    )
