"""The filters that `list` and `retry` share: options and what they may say; nothing about what is done with them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ParamSpec, TypeVar

import click
from click.shell_completion import CompletionItem

from uploader.domain.reasons import Reason
from uploader.domain.recording import State
from uploader.service.operations.search import Wanted
from uploader.settings.units import parse_duration

P = ParamSpec("P")
R = TypeVar("R")

_MOMENT_RULE = "write a date (2026-11-20), a time (2026-11-20T04:00, 2026-11-20T04:00Z) or how long ago (90m, 24h, 7d)"


class Moment(click.ParamType[datetime]):
    """A date, a time, or how long ago; without a zone it is the machine's own. A date as `until` includes the day."""

    name = "time"

    def __init__(self, *, end: bool = False) -> None:
        self._end = end

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the aware time."""
        text = str(value).strip().removesuffix(" ago").rstrip()
        try:
            return datetime.now(UTC) - parse_duration(text)
        except ValueError:
            pass
        try:
            if len(text) <= len("2026-11-20"):
                day = date.fromisoformat(text) + timedelta(days=1 if self._end else 0)
                return datetime.combine(day, time()).astimezone(UTC)
            return datetime.fromisoformat(text).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(_MOMENT_RULE, param, ctx)


class _Words(click.ParamType[tuple[str, ...]]):
    """Words of a closed list, separated by commas."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        self.name = name
        self._known = known

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Return the words."""
        if isinstance(value, tuple):
            return value
        words = tuple(word.strip() for word in str(value).split(",") if word.strip())
        for word in words:
            if word not in self._known:
                from difflib import get_close_matches

                near = get_close_matches(word, self._known, n=1, cutoff=0.6)
                meant = f"did you mean {near[0]}? " if near else ""
                self.fail(f"{meant}It is one of {', '.join(self._known)}", param, ctx)
        if not words:
            self.fail(f"it is one of {', '.join(self._known)}", param, ctx)
        return words

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete the last word, behind those that stand already."""
        begun, comma, last = incomplete.rpartition(",")
        return [CompletionItem(f"{begun}{comma}{word}") for word in self._known if word.startswith(last)]


class _Word(_Words):
    """One word of a closed list."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Return the word, as the only one of a tuple."""
        words = super().convert(value, param, ctx)
        if len(words) > 1:
            self.fail("name one", param, ctx)
        return words


_OPTIONS = (
    click.option(
        "--state",
        "states",
        type=_Words("state", tuple(State)),
        multiple=True,
        help="In this state; repeatable, or a,b.",
    ),
    click.option("--source", metavar="NAME", help="Of this source."),
    click.option("--import", "import_name", metavar="NAME", help="Of this import."),
    click.option("--reason", type=_Word("code", tuple(Reason)), help="With this reason code."),
    click.option("--overdue", is_flag=True, help="Submitted, and its analysis is late."),
    click.option("--since", type=Moment(), help="Discovered since: 2026-11-20, 2026-11-20T04:00Z, 24h."),
    click.option("--until", type=Moment(end=True), help="Discovered until; a date includes its day."),
)


def filter_options(command: Callable[P, R]) -> Callable[P, R]:
    """Give `command` the options that `wanted` reads."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def wanted(options: dict[str, Any]) -> Wanted:
    """Take the filters out of a command's `options`."""
    states = tuple(State(word) for words in options.pop("states") for word in words)
    reason = options.pop("reason")
    return Wanted(
        states=tuple(dict.fromkeys(states)),
        source=options.pop("source"),
        import_name=options.pop("import_name"),
        reason=None if reason is None else Reason(reason[0]),
        overdue=options.pop("overdue"),
        since=options.pop("since"),
        until=options.pop("until"),
    )
