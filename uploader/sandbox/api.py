"""The routes: which request does what, which fault befalls it, and how it is counted.

Everything runs in one event loop, so each request is judged and recorded in one piece.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qsl, urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from uploader.errors import UsageError
from uploader.sandbox import answers, submission, views
from uploader.sandbox.answers import Answer, Refused
from uploader.sandbox.books import NO_ANSWER, Books
from uploader.sandbox.config import READ_SCOPES, WRITE_SCOPES, Fault, Operation
from uploader.sandbox.connection import NoAnswer, Reset
from uploader.sandbox.faults import FaultPlan, Strike
from uploader.sandbox.fetcher import Fetcher
from uploader.sandbox.limits import RateLimits
from uploader.sandbox.listing import Listing
from uploader.sandbox.tokens import Tokens

Seen = Callable[[str, str, int | None], None]
"""Told of every request: method, path without query, status (None when there was no answer)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the routes work with."""

    books: Books
    tokens: Tokens
    limits: RateLimits
    listing: Listing
    fetcher: Fetcher
    faults: FaultPlan
    now: Callable[[], datetime]
    slow_seconds: float


class Api:
    """The service's endpoints, and the sandbox's own under /sandbox."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._stopping = asyncio.Event()

    def application(self, seen: Seen) -> ASGIApp:
        """Return the ASGI application; `seen` is told of every request."""
        app = Starlette(
            routes=[
                Route("/oauth/token", self._token, methods=["POST"]),
                Route("/v2/qm/interactions", self._post, methods=["POST"]),
                Route("/v2/qm/interactions", self._list, methods=["GET"]),
                Route("/v2/qm/interactions/{interaction_id}", self._detail, methods=["GET"]),
                Route("/sandbox/books", self._books, methods=["GET"]),
                Route("/sandbox/faults", self._change_faults, methods=["POST"]),
                Route("/sandbox/secret", self._change_secret, methods=["POST"]),
            ],
            exception_handlers={HTTPException: self._unknown},
        )
        app.router.redirect_slashes = False
        return Watched(app, seen)

    def stop_waiting(self) -> None:
        """Let slow answers go at once. To be called in the event loop."""
        self._stopping.set()

    async def _token(self, request: Request) -> Response:
        def act(body: bytes) -> Answer:
            answer = self._parts.tokens.issue(
                authorization=request.headers.get("authorization", ""),
                content_type=request.headers.get("content-type", ""),
                form=_form(body),
            )
            self._parts.books.count_request("tokens_issued", fault=None)
            return answer

        return await self._read_only(request, Operation.TOKEN, act)

    async def _list(self, request: Request) -> Response:
        def act(_: bytes) -> Answer:
            self._check_reader(request)
            return Answer(status=200, body=self._parts.listing.page(request.query_params))

        return await self._read_only(request, Operation.LIST, act)

    async def _detail(self, request: Request) -> Response:
        def act(_: bytes) -> Answer:
            self._check_reader(request)
            interaction = self._parts.books.find(request.path_params["interaction_id"])
            if interaction is None:
                raise Refused(answers.unknown_interaction())
            return Answer(status=200, body=views.detail(interaction, self._parts.now()))

        return await self._read_only(request, Operation.DETAIL, act)

    async def _read_only(self, request: Request, operation: Operation, act: Callable[[bytes], Answer]) -> Response:
        body = await _read(request)
        strike = self._parts.faults.strike(operation)
        self._parts.books.count_request(operation, fault=strike.fault)
        return await self._under(strike, act=lambda: act(body), miss=lambda _: None)

    async def _post(self, request: Request) -> Response:
        body = await _read(request)
        strike = self._parts.faults.strike(Operation.POST)

        def miss(status: str) -> None:
            self._parts.books.refuse(status, fault=strike.fault)

        def act() -> Answer:
            try:
                return self._submit(request, body, strike)
            except Refused as exc:
                miss(str(exc.answer.status))
                raise

        return await self._under(strike, act=act, miss=miss)

    def _submit(self, request: Request, body: bytes, strike: Strike) -> Answer:
        self._parts.tokens.check(request.headers.get("authorization", ""))
        headers = self._parts.limits.take()
        self._parts.tokens.check_scope(WRITE_SCOPES)
        fields = submission.read(body)
        interaction = self._parts.books.accept(fields, at=self._parts.now(), fault=strike.fault)
        self._parts.fetcher.add(interaction)
        return Answer(status=201, body={"interaction_id": interaction.interaction_id}, headers=headers)

    def _check_reader(self, request: Request) -> None:
        self._parts.tokens.check(request.headers.get("authorization", ""))
        self._parts.tokens.check_scope(READ_SCOPES)

    async def _under(self, strike: Strike, *, act: Callable[[], Answer], miss: Callable[[str], None]) -> Response:
        """Do `act`, or `miss` with the status that is answered instead, as the strike has it."""
        if strike.fault is Fault.RESET:
            miss(NO_ANSWER)
            return Reset()
        instead = strike.instead()
        if instead is not None:
            miss(str(instead.status))
            return _response(instead)
        if strike.fault is Fault.SLOW and not strike.acts:
            await self._dawdle()
        try:
            answer = act()
        except Refused as exc:
            answer = exc.answer
        if strike.fault is Fault.SLOW and strike.acts:
            await self._dawdle()
        if strike.fault is Fault.LOST_ANSWER:
            return NoAnswer()
        return _response(strike.spoil(answer, _encode(answer)))

    async def _dawdle(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), self._parts.slow_seconds)

    async def _books(self, request: Request) -> Response:
        if not _is_local(request):
            return _response(answers.unknown_endpoint())
        document = self._parts.books.document(self._parts.now())
        document["counters"]["rate_limited"] = dict(self._parts.limits.refused)
        faults = {"seed": self._parts.faults.seed, "faults_in_force": self._parts.faults.in_force()}
        return _response(Answer(status=200, body=document | faults))

    async def _change_faults(self, request: Request) -> Response:
        """Let exactly the faults of the JSON object be in force."""
        if not _is_local(request):
            return _response(answers.unknown_endpoint())
        try:
            wanted = json.loads(await _read(request))
            self._parts.faults.change({name: float(value) for name, value in wanted.items()})
        except UsageError as exc:
            return _response(Answer(status=400, body={"error": str(exc), "hint": exc.hint}))
        except (ValueError, TypeError, AttributeError, RecursionError):
            return _response(Answer(status=400, body={"error": "send {fault: probability} as JSON"}))
        return _response(Answer(status=200, body=self._parts.faults.in_force()))

    async def _change_secret(self, request: Request) -> Response:
        """Rotate the app's secret to the one of the JSON object: tokens issued so far are good no more."""
        if not _is_local(request):
            return _response(answers.unknown_endpoint())
        try:
            secret = json.loads(await _read(request))["client_secret"]
        except (ValueError, TypeError, KeyError, RecursionError):
            secret = None
        if not isinstance(secret, str) or not secret:
            return _response(Answer(status=400, body={"error": 'send {"client_secret": "…"} as JSON'}))
        self._parts.tokens.rotate(secret)
        return _response(Answer(status=200, body={}))

    async def _unknown(self, _request: Request, _exc: Exception) -> Response:
        return _response(answers.unknown_endpoint())


async def _read(request: Request) -> bytes:
    """Return the body, or as much of it as shows that it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > submission.MAX_BODY_BYTES:
            break
    return bytes(body)


def _form(body: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(body.decode("latin-1"), max_num_fields=20))
    except ValueError:
        return {}


def _encode(answer: Answer) -> bytes:
    if isinstance(answer.body, bytes):
        return answer.body
    return json.dumps(answer.body, ensure_ascii=False, separators=(",", ":")).encode()


def _response(answer: Answer) -> Response:
    return Response(
        _encode(answer),
        status_code=answer.status,
        headers=dict(answer.headers),
        media_type=answer.content_type,
    )


def _is_local(request: Request) -> bool:
    """Say whether the request names this machine: a page elsewhere that rebinds its name does not."""
    try:
        host = urlsplit("//" + request.headers.get("host", "")).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Watched:
    """ASGI wrapper: clients that leave early are no error, and every request is told of."""

    def __init__(self, app: ASGIApp, seen: Seen) -> None:
        self._app = app
        self._seen = seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request, then say how it was answered."""
        status: int | None = None

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except ClientDisconnect:
            return
        self._seen(scope["method"], scope["path"], status)
