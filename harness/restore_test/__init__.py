"""The nightly restore test: the newest backup on a DR site, tested, then cleared away."""
