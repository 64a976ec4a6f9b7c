"""`sandbox`: a local stand-in for the service, and a configuration that uses it.

It needs no configuration and touches no account. Everything of it lies in one directory; started again
with the same one it goes on where it was.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from uploader.cli.common import Context, common_options
from uploader.sandbox.config import (
    READ_SCOPES,
    WRITE_SCOPES,
    DateAxis,
    Fault,
    FaultAim,
    Operation,
    RateWindow,
    SandboxConfig,
    check_faults,
)
from uploader.sandbox.place import Place
from uploader.settings.units import parse_duration

if TYPE_CHECKING:
    from uploader.sandbox.server import Sandbox

DEFAULT_PORT = 8799
_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,6})?", re.ASCII)
_WATCH_SECONDS = 0.5
_IDENTITY = ("account_id", "client_id", "client_secret")


class _Duration(click.ParamType[float]):
    """`500ms 2s 15m 24h 7d`, or a bare number of seconds; as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds."""
        text = str(value)
        if _SECONDS.fullmatch(text):
            return float(text)
        try:
            return parse_duration(text).total_seconds()
        except ValueError as exc:
            self.fail(str(exc), param, ctx)


class _FaultOption(click.ParamType[tuple[str, float]]):
    """`NAME:PROBABILITY`; as a pair."""

    name = "name:probability"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        """Return name and probability."""
        name, colon, text = str(value).rpartition(":")
        if not colon or name not in list(Fault):
            self.fail(f"write NAME:PROBABILITY; the faults are {', '.join(Fault)}", param, ctx)
        if not re.fullmatch(r"[0-9]{0,9}\.?[0-9]{0,9}", text, re.ASCII) or not text.strip("."):
            self.fail("the probability is a number from 0 to 1, such as 0.05", param, ctx)
        return name, float(text)


class _RateOption(click.ParamType[tuple[int, RateWindow]]):
    """`N`, `N:calendar` or `N:sliding`; as a pair."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, RateWindow]:
        """Return how many, and by which second."""
        if isinstance(value, tuple):
            return value
        number, _, window = str(value).partition(":")
        if not re.fullmatch(r"[0-9]{1,6}", number, re.ASCII) or (window or RateWindow.CALENDAR) not in list(RateWindow):
            self.fail(f"write N, or N and one of {', '.join(RateWindow)}, such as 50:sliding", param, ctx)
        return int(number), RateWindow(window or RateWindow.CALENDAR)


class _Names(click.ParamType[tuple[str, ...]]):
    """Words from a closed list, separated by commas or spaces."""

    name = "names"

    def __init__(self, *known: str) -> None:
        self._known = known

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Return the words, in the order given."""
        if isinstance(value, tuple):
            return value
        words = tuple(re.split(r"[,\s]+", str(value).strip())) if str(value).strip() else ()
        if not set(words) <= set(self._known):
            self.fail(f"choose from {', '.join(self._known)}", param, ctx)
        return words


@click.command(name="sandbox")
@click.option("--host", default="127.0.0.1", show_default=True, help="A loopback address.")
@click.option("--port", type=click.IntRange(0, 65535), default=DEFAULT_PORT, show_default=True, help="0: any.")
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="Where everything of it lies.")
@click.option("--state", type=click.Path(path_type=Path), help="Its memory; default: books.jsonl in --dir.")
@click.option("--account-id", help="Default: made up, or that of an earlier run in --dir.")
@click.option("--client-id", help="Likewise.")
@click.option("--client-secret", help="Likewise.")
@click.option("--token-ttl", type=_Duration(), default="3600s", show_default=True)
@click.option(
    "--scopes",
    type=_Names(*WRITE_SCOPES, *READ_SCOPES),
    default=f"{WRITE_SCOPES[0]} {READ_SCOPES[0]}",
    help="What tokens may do; leave some out to see them refused.",
)
@click.option("--fetch-delay", type=_Duration(), default="0s", show_default=True)
@click.option("--fetch-retries", type=click.IntRange(0, 100), default=2, show_default=True)
@click.option("--fetch-retry-delay", type=_Duration(), default="1s", show_default=True)
@click.option("--analyze-delay", type=_Duration(), default="1s", show_default=True)
@click.option(
    "--rate-limit", type=_RateOption(), default="0", help="POSTs a second, N[:calendar|sliding]; 0: no limit."
)
@click.option("--daily-limit", type=click.IntRange(0), default=0, help="POSTs a day (UTC); 0: no limit.")
@click.option("--fault", "faults", type=_FaultOption(), multiple=True, help=f"Repeatable; one of {', '.join(Fault)}.")
@click.option("--fault-on", type=_Names(*Operation), default="post", show_default=True)
@click.option("--seed", type=int, help="Makes faults repeatable.")
@click.option("--slow-seconds", type=_Duration(), default="2s", show_default=True)
@click.option("--date-axis", type=click.Choice([axis.value for axis in DateAxis]), default="start_time")
@click.option("--list-lag", type=_Duration(), default="0s", help="How long the listing hides a new one.")
@click.option("--ca", type=click.Path(path_type=Path), help="Further CAs for https download URLs.")
@common_options
def command(context: Context, /, *, directory: Path | None, state: Path | None, **options: Any) -> None:
    """Run a local stand-in for the service, behaving as documented.

    Prints a configuration for itself, with a ledger of its own, once it listens. Recordings that it is
    given it fetches, and "analyses" a moment later. GET /sandbox/books shows what it got; -v logs the
    requests. Ends on Ctrl-C.
    """
    check_faults(dict(options["faults"]))
    place = Place.prepare(directory)
    config = _config(place, state, options)
    with _signals_held() as held:
        sandbox = _make(config, context)
        sandbox.start()
        try:
            text = place.write_config(sandbox.credentials, url=sandbox.url)
            _announce(sandbox, place, text, context)
            while signal.sigtimedwait(held, _WATCH_SECONDS) is None:
                if not sandbox.is_alive():
                    raise RuntimeError("the sandbox has stopped by itself")
        finally:
            sandbox.stop()
    if directory is None and not context.json:
        context.note(f"Everything of it is kept in {place.directory}")


def _make(config: SandboxConfig, context: Context) -> Sandbox:
    from uploader.sandbox.server import Sandbox

    def say(method: str, path: str, status: int | None) -> None:
        context.note(f"{method} {quote(path)} {'no answer' if status is None else status}")

    return Sandbox(config, seen=say) if context.verbose else Sandbox(config)


def _config(place: Place, state: Path | None, options: dict[str, Any]) -> SandboxConfig:
    return SandboxConfig(
        host=options["host"],
        port=options["port"],
        credentials=place.credentials(**{name: options[name] for name in _IDENTITY}),
        scopes=options["scopes"],
        token_ttl_seconds=options["token_ttl"],
        fetch_delay_seconds=options["fetch_delay"],
        fetch_retries=options["fetch_retries"],
        fetch_retry_delay_seconds=options["fetch_retry_delay"],
        analyze_delay_seconds=options["analyze_delay"],
        rate_limit_per_second=options["rate_limit"][0],
        rate_window=options["rate_limit"][1],
        daily_limit=options["daily_limit"],
        faults=FaultAim(
            probabilities=dict(options["faults"]),
            operations=frozenset(Operation(name) for name in options["fault_on"]),
            seed=options["seed"],
        ),
        slow_seconds=options["slow_seconds"],
        date_axis=DateAxis(options["date_axis"]),
        list_lag_seconds=options["list_lag"],
        ca_file=options["ca"],
        state_path=state or place.state,
    )


def _announce(sandbox: Sandbox, place: Place, text: str, context: Context) -> None:
    given = sandbox.credentials
    if context.json:
        line = {
            "url": sandbox.url,
            "api_url": sandbox.api_url,
            "token_url": sandbox.token_url,
            "account_id": given.account_id,
            "client_id": given.client_id,
            "client_secret": given.client_secret,
            "config": str(place.config),
            "recordings": str(place.recordings),
            "pid": os.getpid(),
        }
        click.echo(json.dumps(line))
        return
    context.say(text)
    if place.earlier_text:
        context.note(f"{place.config} was there and is kept; only its address and app in [zoom] are set for this run.")
    context.note(f"The sandbox listens on {sandbox.url}. In another terminal:")
    context.note(f"  qm-uploader --config {shlex.quote(str(place.config))} run")
    context.note(f"Then drop a recording and its sidecar (call.wav, call.json) into {place.recordings}")
    context.note(f"What it got: {sandbox.url}/sandbox/books. Ctrl-C ends it.")


@contextlib.contextmanager
def _signals_held() -> Iterator[set[signal.Signals]]:
    """Block the signals that end it, before any thread is there, so that the main thread can wait for them."""
    held = {signal.SIGINT, signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield held
    finally:
        while signal.sigtimedwait(held, 0) is not None:
            pass  # a second Ctrl-C has come while it ended; it would count as an interruption
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
