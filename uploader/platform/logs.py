"""Logging: events with fields to one stream, and a second line of defence against leaks.

Callers log only safe fields (promise 4); what slips through is masked here: numbers, addresses,
tokens, what is behind the host of a URL, paths, and every exception message that is not our own.
Names of people cannot be told from other words, so nothing here makes logging them safe.
Knows nothing of recordings or settings. What hides and describes is needed where nothing is logged too:
there structlog, which takes long to load, is not.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import sys
import threading
import traceback
import warnings
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import Any, TextIO

MASK = "***"
_LIBRARIES = (
    "asyncio", "boto3", "botocore", "httpcore", "httpx", "s3transfer", "starlette",
    "urllib3", "uvicorn", "uvicorn.access", "uvicorn.error",
)  # fmt: skip
_LONGEST_TEXT = 4_000
_DEEPEST = 6
_MOST_ENTRIES = 100
_MOST_CAUSES = 5
_MOST_FRAMES = 20

_SECRET_KEY = re.compile(r"(?i)token|secret|password|authorization|cookie|signature|credential|api_?key")
_PLAIN_KEY = re.compile(r"(^|_)(id|ids|bytes|ns|ms|seconds|count|counts|sha256|etag|timestamp|level|version|code|pid)$")
"""Keys whose long numbers are sizes, times and ids."""
_HIDDEN = (
    (re.compile(r"://[^\s/?#\"'<>@]*@"), "://"),
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]{1,20})://([^\s/?#\"'<>]*)[/?#][^\s\"'<>]+"),
     rf"\1://\2/{MASK}"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{4,}"), rf"\1 {MASK}"),
    (re.compile(r"(?i)((?:token|secret|password|signature|credential|authorization)[a-z_-]{0,20})"
                r"([\"']?\s{0,3}[=:]\s{0,3}[\"']?)[^\s\"'&,;]+"), rf"\1\2{MASK}"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+)*"), MASK),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b"), MASK),
    (re.compile(r"[^\s@\"'<>:,;=/]{1,64}(?:@|%40)[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"), MASK),
    (re.compile(r"(?:\+|%2[Bb])[\d][\d\s()./-]{5,30}\d"), MASK),
)  # fmt: skip
_LONG_NUMBER = re.compile(r"\d{9,}|(?<!\d)\d{3}[-. ]\d{3}[-. ]\d{4}(?!\d)")
_PATH = re.compile(r"(?<![\w/.:*~])(?:~|\.{1,2})?/[^\s\"'<>|,;:]*[^\s\"'<>|,;:/*][^\s\"'<>|,;:]*/?")
_KNOWN_PATHS = frozenset({"/etc/sysctl.d"})
"""Places that our own sentences tell a person to look at; the same on every machine."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, to be told from others' on the root logger."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Lose the record: the library would print it raw, with its arguments."""


def configure(*, level: str, format: str, stream: TextIO | None = None, color: bool = True) -> None:
    """Send every log of this process to `stream` (standard error), masked.

    `level` is debug, info, warning or error and holds for our own events; libraries speak from
    warning on. `format` is text, json or auto: text on a terminal, JSON elsewhere. May be called
    again; the last call holds.
    """
    import structlog

    target = stream if stream is not None else sys.stderr
    threshold = getattr(logging, level.upper())
    text = format == "text" or (format == "auto" and target.isatty())
    handler = _Handler(target)
    handler.setFormatter(_formatter(text=text, color=color and target.isatty()))
    root = logging.getLogger()
    root.handlers = [h for h in root.handlers if not isinstance(h, _Handler)] + [handler]
    root.setLevel(max(threshold, logging.WARNING))
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))
    ours = logging.getLogger("uploader")
    ours.setLevel(threshold)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *_: ours,
        cache_logger_on_first_use=False,
    )
    # What Python itself prints of libraries holds their words, and in them paths: only kind and place are shown.
    warnings.showwarning = _show_warning
    threading.excepthook = _show_thread_death


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    import structlog

    log = structlog.get_logger()
    log.warning("library.warned", kind=category.__name__, module=PurePath(filename).name, line=lineno)


def _show_thread_death(died: threading.ExceptHookArgs) -> None:
    import structlog

    trace = render_traceback(died.exc_value) if died.exc_value is not None else died.exc_type.__name__
    structlog.get_logger().error("library.thread_died", trace=trace)


def scrub(text: str) -> str:
    """Return `text` without numbers, addresses, tokens, paths and what is behind the host of a URL.

    Control characters are escaped, so that one record stays one line.
    """
    return _scrub(text, numbers=True)


def redact(value: Any, *, key: str = "") -> Any:
    """Return `value`, the field `key` of an event, with everything masked that must not be logged.

    Text is scrubbed; containers are followed to a limited depth and size; exceptions are described
    as `describe` does; bytes, paths and foreign objects are named by type only.
    """
    return _redact(value, key, 0)


def describe(error: BaseException) -> str:
    """Return type and fault of `error` in one line.

    Only our own exceptions' messages are shown (scrubbed): a foreign one may hold any value. Of
    operating system and SQLite errors the code is shown.
    """
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__.partition(".")[0] == "uploader":
        return f"{name}: {scrub(str(error))}"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{name} [{errno.errorcode.get(error.errno, error.errno)}]"
    code = getattr(error, "sqlite_errorname", "")
    return f"{name} [{code}]" if code else name


def render_traceback(error: BaseException) -> str:
    """Return the chain of `error` as text: `file:line in function` and `describe`, without any value."""
    parts: list[str] = []
    current: BaseException | None = error
    seen: set[int] = set()
    while current is not None and id(current) not in seen and len(seen) < _MOST_CAUSES:
        seen.add(id(current))
        parts.append("\n".join([*_frames(current), describe(current)]))
        follows = None if current.__suppress_context__ else current.__context__
        current = current.__cause__ or follows
    return "\nbecause of:\n".join(parts)


def _frames(error: BaseException) -> list[str]:
    summary = traceback.StackSummary.extract(
        traceback.walk_tb(error.__traceback__), lookup_lines=False, capture_locals=False
    )
    return [
        f"  {'/'.join(PurePath(frame.filename).parts[-3:])}:{frame.lineno} in {frame.name}"
        for frame in summary[-_MOST_FRAMES:]
    ]


def _formatter(*, text: bool, color: bool) -> logging.Formatter:
    import structlog

    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=color, sort_keys=False, pad_event_to=0)
        if text
        else structlog.processors.JSONRenderer()
    )
    return structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _arrange,
            renderer,
        ]
    )


def _arrange(_logger: Any, _method: str, event: Any) -> dict[str, Any]:
    """Put what every record has first, and the rest behind it, masked."""
    record: logging.LogRecord = event.pop("_record")
    ours = event.pop("_from_structlog")
    error = _error(event.pop("exc_info", None))
    event.pop("stack_info", None)
    first: dict[str, Any] = {name: event.pop(name) for name in ("timestamp", "level")}
    first["event"] = redact(str(event.pop("event", "")), key="event")
    if not ours:
        first["logger"] = scrub(record.name)
    rest = {_control_free(str(key)): redact(value, key=str(key)) for key, value in event.items()}
    if error is not None:
        rest["exception"] = render_traceback(error)
    return first | rest


def _error(info: Any) -> BaseException | None:
    if isinstance(info, BaseException):
        return info
    if isinstance(info, tuple) and len(info) == 3:
        return info[1] if isinstance(info[1], BaseException) else None
    return sys.exc_info()[1] if info else None


def _redact(value: Any, key: str, depth: int) -> Any:
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int) and _PLAIN_KEY.search(key):
        return value
    if _SECRET_KEY.search(key):
        return MASK
    if isinstance(value, int):
        return value if abs(value) < 10**8 else MASK
    if isinstance(value, str):
        return _scrub(str(value), numbers=not _PLAIN_KEY.search(key))
    if isinstance(value, BaseException):
        return describe(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _redact_container(value, key, depth)
    return f"<{type(value).__name__}>"


def _redact_container(value: Any, key: str, depth: int) -> Any:
    if depth >= _DEEPEST:
        return "<nested>"
    if isinstance(value, Mapping):
        entries = list(value.items())[:_MOST_ENTRIES]
        return {scrub(str(name)): _redact(entry, str(name), depth + 1) for name, entry in entries}
    return [_redact(entry, key, depth + 1) for entry in list(value)[:_MOST_ENTRIES]]


def _scrub(text: str, *, numbers: bool) -> str:
    if len(text) > _LONGEST_TEXT:
        text = text[:_LONGEST_TEXT] + "…"
    for pattern, replacement in _HIDDEN:
        text = pattern.sub(replacement, text)
    if numbers:
        text = _LONG_NUMBER.sub(MASK, text)
    return _control_free(_PATH.sub(_hidden_path, text))


def _hidden_path(match: re.Match[str]) -> str:
    # a lone first level (`/healthz`, `and/or`) names no recording
    whole = match[0].rstrip(os.sep)
    return match[0] if whole.count("/") < 2 or match[0] in _KNOWN_PATHS else MASK


def _control_free(text: str) -> str:
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)
