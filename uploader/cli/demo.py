"""`demo`: the main job on this machine with nothing set up; live, and judged at the end.

How the parts are started is the stage's business; here is what is dropped when, what is shown of it,
and whether every file fared as intended.
"""

from __future__ import annotations

import contextlib
import hashlib
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from uploader.cli.common import Context, common_options
from uploader.cli.demo_stage import Drop, Entry, Sight, Stage, drops
from uploader.cli.output import console, emit_json, print_table
from uploader.demo import recordings

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table
    from rich.text import Text

_NEEDS_ATTENTION = 1
_BETWEEN_SECONDS = 0.7
_LOOK_SECONDS = 0.1
_STANDSTILL_SECONDS = 12.0
_LONGEST_SECONDS = 60.0
_WIDE = 110
_ABOUT = 40
_STYLES = {
    "analyzed": "green",
    "duplicate": "cyan",
    "quarantined": "yellow",
    "refused": "red",
    "unconfirmed": "red",
    "discarded": "red",
}
_GO_ON = """\
With your own account (the README has it in ten minutes):
  qm-uploader config init qm.toml       write the example; edit 1 to 4 in it
  qm-uploader --config qm.toml doctor   does everything outside answer?
  qm-uploader --config qm.toml run      watch the folder and send what comes"""


@click.command("demo")
@click.option("--keep", is_flag=True, help="Keep the temporary directory and say where it is.")
@common_options
def command(context: Context, keep: bool) -> int:
    """Show the main job on this machine, with nothing set up.

    A stand-in for the service and the daemon are started in a temporary directory, recordings that come
    with the program are dropped, and it is shown what happens to each. It takes about ten seconds, reads no
    configuration and touches no account. Exit code 0 when every file fared as intended, else 1.
    """
    with _signals_held() as held:
        began = time.monotonic()
        stage = Stage(wait=_Waiting(held))
        try:
            play = _Play(context, stage, wait=_Waiting(held), began=began)
            as_intended = play.perform()
        finally:
            stage.close(keep=keep)
    _say_where(context, stage, keep=keep)
    if not context.json:
        context.say(f"\n{_GO_ON}")
    return 0 if as_intended else _NEEDS_ATTENTION


def _say_where(context: Context, stage: Stage, *, keep: bool) -> None:
    if keep:
        context.note(f"Everything of it is kept in {stage.directory}")
    elif stage.directory.exists():
        context.note(f"The temporary directory could not be removed: {stage.directory}")
    else:
        context.say("Sandbox and daemon have ended; their directory is removed (--keep keeps it).")


class _Waiting:
    """Waits, and turns a stop signal into an interruption: a signal comes at no other time."""

    def __init__(self, held: set[signal.Signals]) -> None:
        self._held = held

    def __call__(self, seconds: float) -> None:
        if signal.sigtimedwait(self._held, seconds) is not None:
            raise KeyboardInterrupt


class _Play:
    """One performance: what is dropped, what is seen of it, and what is made of that."""

    def __init__(self, context: Context, stage: Stage, *, wait: _Waiting, began: float) -> None:
        self._context = context
        self._stage = stage
        self._wait = wait
        self._began = began
        self._drops = drops()
        self._dropped = 0
        self._sights: Mapping[str, Sight] = {}
        self._view = _view(context)

    def perform(self) -> bool:
        """Drop everything, show what happens, and return whether all fared as intended."""
        self._context.note("Starting a sandbox of the service and the daemon in a temporary directory ...")
        self._stage.open()
        with self._view as view:
            self._follow(view)
        seconds = time.monotonic() - self._began
        books = self._stage.books()
        accepted = {entry.interaction_id: entry for entry in books}
        fared = [_fared(drop, self._sights.get(drop.name), accepted) for drop in self._drops]
        once = len(books) == sum(drop.intended == "analyzed" for drop in self._drops)
        as_intended = all(fared) and once
        self._report(books, fared, as_intended=as_intended, seconds=seconds)
        return as_intended

    def _follow(self, view: _View) -> None:
        """Drop one file after the other, and look until every one is where it is meant to be."""
        next_drop = moved = time.monotonic()
        while True:
            now = time.monotonic()
            if now >= next_drop and self._dropped < len(self._drops):
                self._stage.drop(self._drops[self._dropped])
                self._dropped += 1
                next_drop, moved = now + _BETWEEN_SECONDS, now
            before, self._sights = self._sights, self._stage.sights()
            if before != self._sights:
                moved = now
            view.show(self._drops[: self._dropped], self._sights, seconds=now - self._began)
            if self._is_over(now, moved):
                return
            self._wait(_LOOK_SECONDS)

    def _is_over(self, now: float, moved: float) -> bool:
        if now - moved > _STANDSTILL_SECONDS or now - self._began > _LONGEST_SECONDS:
            return True
        return self._dropped == len(self._drops) and all(
            (sight := self._sights.get(drop.name)) is not None and sight.state == drop.intended for drop in self._drops
        )

    def _report(self, books: Sequence[Entry], fared: Sequence[bool], *, as_intended: bool, seconds: float) -> None:
        if self._context.json:
            emit_json(
                {
                    "recordings": [_document(drop, self._sights.get(drop.name)) for drop in self._drops],
                    "as_intended": as_intended,
                    "seconds": round(seconds, 1),
                }
            )
            return
        rows = []
        for drop, good in zip(self._drops, fared, strict=True):
            sight = self._sights.get(drop.name)
            state = sight.state if sight else "not seen"
            rows.append((drop.name, drop.intended, state if good else f"{state} (!)", _outcome(sight)))
        self._view.conclude(("file", "intended", "became", "interaction or reason"), rows)
        self._context.say(_verdict(fared, seconds=seconds, as_intended=as_intended))
        self._context.say(_books_line(self._drops, books, self._sights))


def _fared(drop: Drop, sight: Sight | None, accepted: Mapping[str, Entry]) -> bool:
    """Say whether it ended as intended; what was accepted must have been fetched as it is."""
    if sight is None or sight.state != drop.intended:
        return False
    return sight.interaction_id is None or _is_whole(drop, accepted.get(sight.interaction_id))


def _is_whole(drop: Drop, entry: Entry | None) -> bool:
    content = (recordings() / drop.recording).read_bytes()
    return entry is not None and entry.fetched_sha256 == hashlib.sha256(content).hexdigest()


def _document(drop: Drop, sight: Sight | None) -> dict[str, str | None]:
    return {
        "recording": drop.name,
        "intended": drop.intended,
        "state": sight.state if sight else None,
        "interaction_id": sight.interaction_id if sight else None,
        "reason_code": sight.reason_code if sight else None,
    }


def _outcome(sight: Sight | None) -> str:
    if sight is None:
        return ""
    return sight.interaction_id or sight.reason or sight.reason_code or ""


def _verdict(fared: Sequence[bool], *, seconds: float, as_intended: bool) -> str:
    if as_intended:
        return f"Every file fared as intended, in {seconds:.0f} s."
    return f"{sum(fared)} of {len(fared)} files fared as intended, in {seconds:.0f} s: something is wrong (!)."


def _books_line(drops: Sequence[Drop], books: Sequence[Entry], sights: Mapping[str, Sight]) -> str:
    by_id = {entry.interaction_id: entry for entry in books}
    seen = [(drop, sights[drop.name].interaction_id) for drop in drops if drop.name in sights]
    whole = sum(_is_whole(drop, by_id[id_]) for drop, id_ in seen if id_ in by_id)
    return (
        f"The sandbox's books: {len(books)} accepted, {whole} fetched whole (equal SHA-256), "
        f"{sum(entry.analyzed for entry in books)} analysed."
    )


class _View:
    """Shows nothing: the view of `--json`, and what the others have in common."""

    def __enter__(self) -> _View:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the screen as it is to stay."""

    def show(self, dropped: Sequence[Drop], sights: Mapping[str, Sight], *, seconds: float) -> None:
        """Show how things stand."""

    def conclude(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show what became of everything, as a table."""
        click.echo()
        print_table(columns, rows, color=False)


class _Lines(_View):
    """A line for every change, for pipes."""

    def __init__(self, context: Context, *, width: int) -> None:
        self._context = context
        self._width = width
        self._states: dict[str, str] = {}

    def show(self, dropped: Sequence[Drop], sights: Mapping[str, Sight], *, seconds: float) -> None:
        """Write what has changed since the last time."""
        for drop in dropped:
            if drop.name not in self._states:
                self._write(drop.name, "dropped", drop.about, seconds)
            sight = sights.get(drop.name)
            if sight is not None and self._states[drop.name] != sight.state:
                self._write(drop.name, sight.state, _outcome(sight), seconds)

    def _write(self, name: str, state: str, note: str, seconds: float) -> None:
        self._states[name] = state
        self._context.say(f"{seconds:5.1f} s  {name:<{self._width}}  {state:<11}  {note}".rstrip())


class _Screen(_View):
    """A table that is drawn anew in place, for terminals."""

    def __init__(self, console: Console) -> None:
        from rich.live import Live

        self._console = console
        self._shown: tuple[Sequence[Drop], Mapping[str, Sight], float] = ((), {}, 0.0)
        # the table at the end takes its place
        self._live = Live(self, console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> _Screen:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, dropped: Sequence[Drop], sights: Mapping[str, Sight], *, seconds: float) -> None:
        """Draw the table."""
        self._shown = (dropped, sights, seconds)
        self._live.refresh()

    def conclude(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Draw the table at the end: only reasons are broken into lines."""
        table = _table(columns[:-1])
        table.add_column(columns[-1], overflow="fold")
        for name, intended, became, outcome in rows:
            table.add_row(*_texts(name, intended), *_texts(became, style=_style(became)), *_texts(outcome))
        self._console.print(table, soft_wrap=False)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        dropped, sights, seconds = self._shown
        wide = options.max_width >= _WIDE
        table = _table(("file", "what it is", "state now") if wide else ("file", "state now"))
        taken = max((len(drop.name) for drop in dropped), default=0) + 11 + (_ABOUT + 3 if wide else 0) + 8
        table.add_column("interaction or reason", no_wrap=True, max_width=max(22, options.max_width - taken))
        for drop in dropped:
            sight = sights.get(drop.name)
            state = sight.state if sight else "dropped"
            about = drop.about if len(drop.about) <= _ABOUT else drop.about[: _ABOUT - 1] + "…"
            outcome = _outcome(sight) or ("" if wide or sight else about)
            names = _texts(drop.name, about) if wide else _texts(drop.name)
            table.add_row(*names, *_texts(state, style=_style(state)), *_texts(outcome))
        table.caption = Text(f"{seconds:.0f} s; Ctrl-C ends it", style="dim")
        yield table


def _table(columns: Sequence[str]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", caption_justify="left")
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def _texts(*cells: str, style: str = "") -> list[Text]:
    from rich.text import Text

    return [Text(cell, style=style, overflow="ellipsis") for cell in cells]


def _style(state: str) -> str:
    return _STYLES.get(state, "red" if state.endswith("(!)") else "")


def _view(context: Context) -> _View:
    if context.json:
        return _View()
    screen = console(color=context.color)
    if screen.is_terminal and not screen.is_dumb_terminal:
        return _Screen(screen)
    return _Lines(context, width=max(len(drop.name) for drop in drops()))


@contextlib.contextmanager
def _signals_held() -> Iterator[set[signal.Signals]]:
    """Hold the signals that end it: they are looked for while it waits, so that clean-up is never broken off."""
    held = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield held
    finally:
        while signal.sigtimedwait(held, 0) is not None:
            pass  # one more Ctrl-C has come meanwhile; it has ended as was wished
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
