"""Program of the service, `python -m notifier`: SIGTERM and SIGINT shut it down with exit code 0."""

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

GRACE = 5  # seconds for pending requests at shutdown


def main() -> int:
    """Run the service; return the exit code: 0 after a signal, 2 for an invalid configuration."""
    try:
        settings = from_environment(os.environ)
    except ConfigurationError as error:
        sys.stderr.write(f"notifier: {error}\n")
        return 2
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    # Silenced, because apprise logs a target that it cannot parse, which may contain a password.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    return serve(settings)


def serve(settings: Settings) -> int:
    """Run the service until it is shut down; return its exit code."""
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

    # uvicorn replaces these handlers while it serves, and raises the signal that it received again at its end.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    server.run()
    return 2 if fatal else 0


if __name__ == "__main__":
    raise SystemExit(main())
