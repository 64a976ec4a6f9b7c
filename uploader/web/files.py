"""Serve recordings in place by signed URL; knows grants and files, not the ledger, nor why a URL was made."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import anyio
import structlog
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from uploader.domain.recording import Stamp
from uploader.errors import LedgerError
from uploader.staging.builtin import SELFTEST_WAV, Grant, Refusal, RefusalReason, SelfTest, Ticket, UrlSigner
from uploader.web.peer import Peer
from uploader.web.ranges import NOTHING, Selection, Span, select
from uploader.web.source_file import FileFault, SourceFile, open_source

log = structlog.get_logger()

CHUNK_BYTES: Final = 256 * 1024
_AGENT_CHARACTERS: Final = 200
_RETRY_AFTER_SECONDS: Final = 15

_SENTENCES: Final = {
    403: "This address is not signed by this server, or was altered.\n",
    404: "Not found.\n",
    410: "This recording is no longer served here.\n",
    503: "That cannot be told for now; ask again.\n",
}
_EXPIRED: Final = "This address has expired.\n"


class Grants(Protocol):
    """What the server asks and tells about attempts. Called from worker threads; may raise LedgerError."""

    def grant(self, recording_id: str, attempt: int) -> Grant | None:
        """Return what a properly signed URL gives now, or None when nothing is known of it.

        Called before the first byte leaves, so an implementation may write down here that the URL was
        used; and again before the last chunk leaves, so that a revocation also stops what is under way.
        """

    def fetched(
        self,
        recording_id: str,
        attempt: int,
        *,
        first_byte: int,
        last_byte: int,
        complete: bool,
        status: int,
        agent: str,
    ) -> None:
        """Take an access record: one for each request with a valid signature, after its answer.

        The bytes `first_byte` to `last_byte` were delivered and acknowledged; none when `last_byte` is
        `first_byte - 1`. `complete`: this answer ended with the last byte of the file, unchanged until then.
        """

    def source_changed(self, recording_id: str) -> None:
        """Take note that the file is not the one that was understood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Denied:
    status: int
    ticket: Ticket | None = None
    sentence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    ticket: Ticket
    grant: Grant
    file: SourceFile


@dataclass(frozen=True, slots=True, kw_only=True)
class _Delivery:
    """What became of one answer."""

    status: int
    span: Span = NOTHING
    complete: bool = False


def files_app(grants: Grants, signer: UrlSigner, *, stall_seconds: float = 60.0) -> ASGIApp:
    """Return the application that serves recordings under `HttpServer`, which tells it of its peers.

    A client that takes no chunk of 256 KiB within `stall_seconds` is cut off.
    """
    return _FilesApp(grants, signer, stall_seconds)


class _FilesApp:
    def __init__(self, grants: Grants, signer: UrlSigner, stall_seconds: float) -> None:
        self._grants = grants
        self._signer = signer
        self._stall_seconds = stall_seconds
        self._folders = ("/recordings/", f"{signer.path_prefix}/recordings/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        name = self._name(scope["raw_path"].decode("latin-1"))
        if name is None or scope["method"] not in {"GET", "HEAD"}:
            await _refuse(404)(scope, receive, send)
            return
        found = await to_thread.run_sync(self._look_up, name, scope["query_string"].decode("latin-1"))
        if isinstance(found, SelfTest):
            await _selftest(request)(scope, receive, send)
        elif isinstance(found, _Denied):
            await _refuse(found.status, found.sentence)(scope, receive, send)
            if found.ticket is not None:
                await self._record(found.ticket, _Delivery(status=found.status), request)
        else:
            try:
                delivery = await self._answer(found, request, receive, send)
            finally:
                found.file.close()
            await self._record(found.ticket, delivery, request)

    def _name(self, path: str) -> str | None:
        for folder in self._folders:
            name = path.removeprefix(folder)
            if name != path and name and "/" not in name:
                return name
        return None

    def _look_up(self, name: str, query: str) -> _Found | _Denied | SelfTest:
        try:
            verdict = self._signer.verify(name, query)
            if isinstance(verdict, SelfTest):
                return verdict
            if isinstance(verdict, Refusal):
                expired = verdict.reason is RefusalReason.EXPIRED
                return _Denied(status=403, ticket=verdict.ticket, sentence=_EXPIRED if expired else "")
            grant = self._grants.grant(verdict.recording_id, verdict.attempt)
            if grant is None or grant.revoked:
                return _Denied(status=404 if grant is None else 410, ticket=verdict)
            opened = open_source(grant.path, grant.stamp)
            if isinstance(opened, FileFault):
                return self._denied(verdict, opened)
        except LedgerError:
            return _Denied(status=503)
        return _Found(ticket=verdict, grant=grant, file=opened)

    def _denied(self, ticket: Ticket, fault: FileFault) -> _Denied:
        log.warning("recording.not_served", id=ticket.recording_id, attempt=ticket.attempt, fault=fault)
        if fault is FileFault.CHANGED:
            self._grants.source_changed(ticket.recording_id)
        return _Denied(status=503 if fault is FileFault.UNCLEAR else 410, ticket=ticket)

    async def _answer(self, found: _Found, request: Request, receive: Receive, send: Send) -> _Delivery:
        etag = _etag(found.grant.stamp)
        selection = _selected(request, found.grant.stamp.size_bytes, etag)
        headers = _headers(selection, found.grant.stamp.size_bytes, etag, found.grant.content_type)
        delivery = _Delivery(status=selection.status)
        if request.method == "HEAD" or not selection.span.length:
            await Response(status_code=selection.status, headers=headers)(request.scope, receive, send)
            return delivery
        # the first chunk is read before the status leaves, so that a small file's change is a proper answer
        chunk = await to_thread.run_sync(self._chunk, found, selection.span, selection.span.first)
        if isinstance(chunk, _Denied):
            await _refuse(chunk.status)(request.scope, receive, send)
            return _Delivery(status=chunk.status)
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": selection.status, "headers": raw})
        return await self._stream(found, selection, chunk, request.state.peer, send)

    async def _stream(self, found: _Found, selection: Selection, chunk: bytes, peer: Peer, send: Send) -> _Delivery:
        """Send the body; an answer that cannot be finished is cut, so that nobody takes it for whole."""
        span, position, delivered = selection.span, selection.span.first, selection.span.first
        whole = False
        while await self._pass_on(send, chunk):
            position += len(chunk)
            if position > span.last:
                whole = await peer.has_everything(within_seconds=self._stall_seconds)
                break
            if peer.gone:
                break
            delivered = position
            following = await to_thread.run_sync(self._chunk, found, span, position)
            if isinstance(following, _Denied):
                break
            chunk = following
        if whole:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            delivered = position
        else:
            await peer.cut_and_wait()
        return _Delivery(
            status=selection.status,
            span=Span(first=span.first, last=delivered - 1),
            complete=whole and span.last == found.grant.stamp.size_bytes - 1,
        )

    async def _pass_on(self, send: Send, chunk: bytes) -> bool:
        """Hand a chunk to the kernel; return whether it took it in time or the client left."""
        with anyio.move_on_after(self._stall_seconds) as waiting:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            # writes nothing, but returns only when the chunk has left our memory
            await send({"type": "http.response.body", "body": b"", "more_body": True})
        return not waiting.cancelled_caught

    def _chunk(self, found: _Found, span: Span, position: int) -> bytes | _Denied:
        """Read the next chunk; the last one is given only while file and grant are still what they were."""
        length = min(CHUNK_BYTES, span.last - position + 1)
        final = position + length > span.last
        ticket = found.ticket
        try:
            data = found.file.read(position, length, check=final)
            if isinstance(data, FileFault):
                return self._denied(ticket, data)
            if final:
                grant = self._grants.grant(ticket.recording_id, ticket.attempt)
                if grant is None or grant.revoked:
                    return _Denied(status=410)
        except LedgerError:
            return _Denied(status=503)
        return data

    async def _record(self, ticket: Ticket, delivery: _Delivery, request: Request) -> None:
        agent = "".join(char for char in request.headers.get("user-agent", "") if char.isprintable())

        def tell() -> None:
            try:
                self._grants.fetched(
                    ticket.recording_id,
                    ticket.attempt,
                    first_byte=delivery.span.first,
                    last_byte=delivery.span.last,
                    complete=delivery.complete,
                    status=delivery.status,
                    agent=agent[:_AGENT_CHARACTERS],
                )
            except LedgerError:
                log.warning("recording.access_not_recorded", id=ticket.recording_id, attempt=ticket.attempt)

        await to_thread.run_sync(tell)
        log.info(
            "recording.asked_for",
            id=ticket.recording_id,
            attempt=ticket.attempt,
            status=delivery.status,
            size_bytes=delivery.span.length,
            complete=delivery.complete,
        )


def _refuse(status: int, sentence: str = "") -> Response:
    headers = {"Cache-Control": "no-store"}
    if status == 503:
        headers["Retry-After"] = str(_RETRY_AFTER_SECONDS)
    return PlainTextResponse(sentence or _SENTENCES[status], status_code=status, headers=headers)


def _selftest(request: Request) -> Response:
    size = len(SELFTEST_WAV)
    etag = _etag(Stamp(size_bytes=size, mtime_ns=0, inode=0))
    selection = _selected(request, size, etag)
    headers = _headers(selection, size, etag, "audio/wav")
    body = SELFTEST_WAV[selection.span.first : selection.span.last + 1]
    return Response(b"" if request.method == "HEAD" else body, status_code=selection.status, headers=headers)


def _selected(request: Request, size_bytes: int, etag: str) -> Selection:
    return select(
        size_bytes=size_bytes,
        etag=etag,
        # Range has a meaning for GET alone (RFC 9110 section 14.2)
        ranges=request.headers.getlist("range") if request.method == "GET" else (),
        if_range=request.headers.get("if-range"),
        if_match=request.headers.get("if-match"),
        if_none_match=request.headers.get("if-none-match"),
    )


def _headers(selection: Selection, size_bytes: int, etag: str, content_type: str) -> Mapping[str, str]:
    headers = {"Accept-Ranges": "bytes", "ETag": etag, "Cache-Control": "no-store"}
    if selection.status in {200, 206}:
        headers["Content-Type"] = content_type
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Content-Length"] = str(selection.span.length)
    if selection.status == 206:
        headers["Content-Range"] = f"bytes {selection.span.first}-{selection.span.last}/{size_bytes}"
    if selection.status == 416:
        headers["Content-Range"] = f"bytes */{size_bytes}"
    return headers


def _etag(stamp: Stamp) -> str:
    """Return a strong entity tag; hashed, as an inode is nobody's business."""
    text = f"{stamp.size_bytes} {stamp.mtime_ns} {stamp.inode}"
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
