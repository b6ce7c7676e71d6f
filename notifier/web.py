"""HTTP API of the service."""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from notifier import outbox
from notifier.database import Database
from notifier.delivery import Delivery
from notifier.errors import BadMessage, Damaged, Unavailable
from notifier.message import LONGEST, parse
from notifier.store import Store


@dataclass(frozen=True, slots=True)
class Api:
    """Handlers of requests, which run in worker threads, because database and store block."""

    database: Database
    store: Store
    delivery: Delivery

    def accept(self, data: bytes) -> Response:
        """Store a message. Answer 202 once it is durable, 200 with the same key if it was accepted before."""
        message = parse(data)
        accepted = self.database.run(lambda c: outbox.find(c, message.reference))
        if accepted is None and message.attachment is not None:
            # The object before the row, so that a row never refers to a missing object.
            self.store.put(message.attachment)
        if accepted is None:
            accepted = self.database.run(lambda c: outbox.insert(c, message) or outbox.find(c, message.reference))
        if accepted is None:
            raise Unavailable("database", f"{message.reference} was neither added nor found")
        if accepted.new:
            self.delivery.wake()
        answer = {"id": accepted.id, "reference": accepted.reference, "idempotency_key": accepted.idempotency_key}
        return JSONResponse(answer, status_code=202 if accepted.new else 200)

    def listed(self, prefix: str) -> Response:
        """Answer the list of messages whose reference starts with `prefix`, oldest first."""
        messages, held = self.database.run(lambda c: outbox.listed(c, prefix))
        rows = [
            {"reference": m.reference, "idempotency_key": m.idempotency_key, "delivered": m.delivered} for m in messages
        ]
        return JSONResponse({"delivery": "held" if held else "running", "messages": rows})

    def attachment(self, reference: str) -> Response:
        """Answer the content of an attachment, with a digest header (RFC 9530)."""
        found = self.database.run(lambda c: outbox.attachment(c, reference))
        if found is None:
            return PlainTextResponse(f"{reference}: no such message", status_code=404)
        if found.key is None or found.sha256 is None:
            return PlainTextResponse(f"{reference}: has no attachment", status_code=404)
        content = self.store.get(found.key, found.sha256)
        digest = base64.b64encode(bytes.fromhex(found.sha256)).decode()
        headers = {"Repr-Digest": f"sha-256=:{digest}:"}
        return Response(content, media_type="application/octet-stream", headers=headers)

    def ready(self) -> Response:
        """Answer 200 if database and object store answer, else 503 with those that do not."""
        failed = []
        for check in (lambda: self.database.run(lambda c: c.execute("SELECT 1")), self.store.check):
            try:
                check()
            except Unavailable as error:
                failed.append(str(error))
        return PlainTextResponse("; ".join(failed) or "ready", status_code=503 if failed else 200)


def application(api: Api) -> Starlette:
    """Return the ASGI application, which starts and stops delivery."""

    async def post(request: Request) -> Response:
        return await run_in_threadpool(api.accept, await read(request))

    async def messages(request: Request) -> Response:
        return await run_in_threadpool(api.listed, request.query_params.get("prefix", ""))

    async def attachment(request: Request) -> Response:
        return await run_in_threadpool(api.attachment, str(request.path_params["reference"]))

    async def ready(_request: Request) -> Response:
        return await run_in_threadpool(api.ready)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        api.delivery.start()
        try:
            yield
        finally:
            await run_in_threadpool(api.delivery.stop)
            api.database.close()

    return Starlette(
        routes=[
            Route("/messages", post, methods=["POST"]),
            Route("/messages", messages, methods=["GET"]),
            Route("/messages/{reference}/attachment", attachment),
            Route("/ready", ready),
        ],
        exception_handlers={BadMessage: one_line(400), Unavailable: one_line(503), Damaged: one_line(502)},
        lifespan=lifespan,
    )


async def read(request: Request) -> bytes:
    """Return the body of a request; raises BadMessage as soon as it is too large."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > LONGEST:
            raise BadMessage(f"the body is larger than {LONGEST >> 20} MiB")
    return bytes(data)


def one_line(status: int) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Return an exception handler that answers `status` with the message of the error."""

    async def answer(_request: Request, error: Exception) -> Response:
        return PlainTextResponse(str(error), status_code=status)

    return answer
