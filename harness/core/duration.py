"""Durations for people: `24 h`, `3 min 20 s`, `29.5 s`."""

MINUTE, HOUR, DAY = 60, 3600, 86400  # seconds
LONG = 600  # seconds: up to here with a tenth of a second
DAYS = 2 * DAY  # seconds: from here in days


def human(seconds: float) -> str:
    """Return a duration in the two largest units that it has; tenths of a second up to ten minutes."""
    if seconds < 0:
        return f"-{human(-seconds)}"
    rounded = round(seconds, 1) if seconds < LONG else float(round(seconds))
    if rounded < MINUTE:
        return f"{rounded:g} s"
    if rounded < HOUR:
        return _two(rounded, MINUTE, "min", f"{round(rounded % MINUTE, 1):g} s")
    minutes = round(rounded / MINUTE) * MINUTE
    if minutes < DAYS:
        return _two(minutes, HOUR, "h", f"{minutes % HOUR // MINUTE} min")
    hours = round(rounded / HOUR) * HOUR
    return _two(hours, DAY, "d", f"{hours % DAY // HOUR} h")


def figure(seconds: float | None) -> str:
    """Return `human` of a measured duration, `not measured` for None."""
    return "not measured" if seconds is None else human(seconds)


def _two(seconds: float, unit: int, name: str, rest: str) -> str:
    whole = f"{int(seconds // unit)} {name}"
    return whole if rest.startswith("0 ") else f"{whole} {rest}"
