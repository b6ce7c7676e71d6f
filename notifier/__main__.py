"""`python -m notifier`: serves until SIGTERM or SIGINT, then ends in good order with exit code 0."""

from __future__ import annotations

import logging
import os
import signal
import sys
from types import FrameType

import uvicorn

from notifier.database import Database
from notifier.delivery import Delivery
from notifier.errors import ConfigurationError
from notifier.settings import Settings, from_environment
from notifier.store import Store
from notifier.web import Api, application

GRACE = 5  # seconds that requests in hand are given at the end


def main() -> int:
    """Serve; return the exit code: 0 after a signal, 2 when the configuration is of no use."""
    try:
        settings = from_environment(os.environ)
    except ConfigurationError as error:
        sys.stderr.write(f"notifier: {error}\n")
        return 2
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    # apprise logs a target that it cannot parse, and a target may hold a password: not a word of it.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    return serve(settings)


def serve(settings: Settings) -> int:
    """Run the service until it is told to end; return its exit code."""
    fatal: list[bool] = []

    def give_up() -> None:
        fatal.append(True)
        server.should_exit = True

    database = Database(settings)
    api = Api(database, Store(settings), Delivery(database, settings.target, give_up))
    config = uvicorn.Config(
        application(api),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=GRACE,
    )
    server = uvicorn.Server(config)

    def end(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    # uvicorn has handlers of its own while it serves; at its end it raises the signal it got again, for this one.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    server.run()
    return 2 if fatal else 0


if __name__ == "__main__":
    raise SystemExit(main())
