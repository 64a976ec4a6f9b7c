"""How values of a recording are made small for its row, and read again: documents, and keys that are hashes.

Every value comes back as it was. Knows no table.
"""

from __future__ import annotations

import functools
import hashlib
import re
import zlib

_COMMON = (
    b'{"bucket":"","key":"recordings/.wav","size_bytes":,"etag":"","generation":0}{"in_place": true}'
    b'{"extension": ".mp3"}"format":"mp3","codec":"mp3","sample_rate":44100,"kind":"video","format":"mp4"'
    b'{"extension": ".wav"}{"kind":"audio",'
    b'"format":"wav","codec":"pcm_s16le","mulaw","channels":1,"sample_rate":8000,"duration_seconds":'
    b'"disposition":"","queue_id":"","agent_id":"","consumer_name":"","channel_type":"video","direction":"outbound",'
    b'"primary_language":"en-US","agent_email":"@","from":"+1","to":"+1"}}{"direction":"inbound",'
    b'"start_time":"2026-01-01T00:00:00Z","interaction_info":{"channel_type":"voice","from":"+'
)
"""What documents have in common. It is part of the format: another one needs another column, or all packed anew."""
_WINDOW, _MEMORY = 12, 1
"""4 KiB and the least memory: documents are short, and to set zlib up for more costs more than to pack."""
_REMEMBERED = 512
"""A recording's documents are read several times while it is dealt with, and many say the same."""
_SHA256 = re.compile(r"sha256:([0-9a-f]{64})")
_HASH_HEX, _HASH_BYTES = 32, 16
_KEY = re.compile(r"id:([0-9a-f]{32})|at:([0-9a-f]{32})\.([0-9a-f]{32})?\.([0-9a-f]{32})?")
_HEX = re.compile(r"[0-9a-f]{32}")
_ID, _AT, _FROM, _TO = 0, 4, 1, 2


@functools.lru_cache(maxsize=_REMEMBERED)
def pack(document: str | None) -> bytes | None:
    """Return a JSON document as it is kept: a third of its size."""
    if document is None:
        return None
    packer = zlib.compressobj(6, zlib.DEFLATED, -_WINDOW, _MEMORY, zdict=_COMMON)
    return packer.compress(document.encode("utf-8", "surrogatepass")) + packer.flush()


@functools.lru_cache(maxsize=_REMEMBERED)
def unpack(packed: bytes | None) -> str | None:
    """Return the document that `pack` was given. Raises zlib.error when it is damaged."""
    if packed is None:
        return None
    unpacker = zlib.decompressobj(-_WINDOW, _COMMON)
    return unpacker.decompress(packed).decode("utf-8", "surrogatepass")


def content_key(content_id: str) -> bytes:
    """Return by what a content is compared: its SHA-256 where that is its name, else a hash of the name."""
    named = _SHA256.fullmatch(content_id)
    if named:
        return bytes.fromhex(named[1])
    return hashlib.sha256(content_id.encode("utf-8", "surrogatepass")).digest()[:_HASH_BYTES]


def pack_key(key: str | None) -> bytes | str | None:
    """Return a call's key as it is kept: its hashes as bytes; one of another shape stays as it is."""
    found = None if key is None else _KEY.fullmatch(key)
    if found is None:
        return key
    if found[1]:
        return bytes([_ID]) + bytes.fromhex(found[1])
    kind = _AT + (_FROM if found[3] else 0) + (_TO if found[4] else 0)
    return bytes([kind]) + bytes.fromhex(found[2] + (found[3] or "") + (found[4] or ""))


def unpack_key(packed: bytes | str | None) -> str | None:
    """Return the key that `pack_key` was given."""
    if packed is None or isinstance(packed, str):
        return packed
    kind, hashes = packed[0], packed[1:].hex()
    if kind == _ID:
        return "id:" + hashes
    parts = [hashes[:_HASH_HEX], "", ""]
    if kind & _FROM:
        parts[1] = hashes[_HASH_HEX : 2 * _HASH_HEX]
    if kind & _TO:
        parts[2] = hashes[-_HASH_HEX:]
    return "at:" + ".".join(parts)


def pack_hash(text: str | None) -> bytes | str | None:
    """Return a hash as bytes; what is no such hash stays as it is."""
    return bytes.fromhex(text) if text is not None and _HEX.fullmatch(text) else text


def unpack_hash(packed: bytes | str | None) -> str | None:
    """Return the text that `pack_hash` was given."""
    return packed.hex() if isinstance(packed, bytes) else packed
