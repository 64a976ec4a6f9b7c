"""The directory of a sandbox: its recordings, its memory, and a configuration that uses it.

Knows what the configuration looks like, and nothing of how it is read.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import socket
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uploader.errors import UsageError
from uploader.sandbox.config import Credentials

_MARK = "# Written by `qm-uploader sandbox`"
_MAX_CONFIG_BYTES = 64 * 1024
_HEADER = re.compile(r"\s*\[+\s*([^\]]*?)\s*\]")
_ENTRY = re.compile(r"""(\s*(\w+)\s*=\s*)(?:"(?:[^"\\\n]|\\.)*"|'[^'\n]*')""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A directory, what an earlier run left in it, and ports for the daemon that is to use it."""

    directory: Path
    staging_port: int
    web_port: int
    earlier: dict[str, Any]
    earlier_text: str = ""

    @classmethod
    def prepare(cls, directory: Path | None) -> Place:
        """Make the directory and its recordings, or take up those of an earlier run.

        None takes a new temporary one. Raises UsageError when it cannot be made or used.
        """
        try:
            if directory is None:
                directory = Path(tempfile.mkdtemp(prefix="qm-uploader-sandbox-"))
            directory = directory.absolute()
            str(directory).encode()
            (directory / "recordings").mkdir(parents=True, exist_ok=True)
        except UnicodeEncodeError as exc:
            raise UsageError("the directory must have a name that TOML can hold (UTF-8)") from exc
        except OSError as exc:
            raise UsageError(f"the directory cannot be used: {exc.strerror}") from exc
        earlier, text = _read_earlier(directory / "config.toml")
        staging = _free_port(but=0)
        return cls(
            directory=directory,
            staging_port=staging,
            web_port=_free_port(but=staging),
            earlier=earlier,
            earlier_text=text,
        )

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.directory / "config.toml"

    @property
    def recordings(self) -> Path:
        """The folder that the configuration watches."""
        return self.directory / "recordings"

    @property
    def state(self) -> Path:
        """Where the sandbox remembers what it accepted."""
        return self.directory / "books.jsonl"

    def credentials(self, **given: str | None) -> Credentials:
        """Take each part as given, else from an earlier run (the ledger knows its account), else new."""
        zoom, made = _section(self.earlier, "zoom"), new_credentials()
        return Credentials(
            **{name: value or str(zoom.get(name) or getattr(made, name)) for name, value in given.items()}
        )

    def write_config(self, credentials: Credentials, *, url: str) -> str:
        """Write the configuration for the sandbox at `url`, readable by its owner only, and return it.

        That of an earlier run is kept with what people changed in it; only the address and the app in
        [zoom] are set anew. Raises UsageError when they are not to be found there, and leaves it as it is.
        """
        text = self._renewed(credentials, url) if self.earlier_text else self._toml(credentials, url)
        if text == self.earlier_text:
            return text
        made = self.config.with_name(".config.toml.new")
        try:
            made.unlink(missing_ok=True)
            fd = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(fd, "w", encoding="utf-8", newline="") as file:
                file.write(text)
            made.replace(self.config)
        except OSError as exc:
            raise UsageError(f"the configuration cannot be written: {exc.strerror}") from exc
        return text

    def _renewed(self, credentials: Credentials, url: str) -> str:
        app = _app(credentials, url)
        table = ""
        lines = self.earlier_text.splitlines(keepends=True)
        for index, line in enumerate(lines):
            if header := _HEADER.match(line):
                table = header[1]
            elif table == "zoom" and (entry := _ENTRY.match(line)) and entry[2] in app:
                lines[index] = f"{entry[1]}{_quote(app[entry[2]])}{line[entry.end() :]}"
        text = "".join(lines)
        with contextlib.suppress(ValueError):
            if tomllib.loads(text) == self.earlier | {"zoom": _section(self.earlier, "zoom") | app}:
                return text
        raise UsageError(
            "the config.toml in the directory was changed so that the sandbox cannot set its address and app in it",
            hint=f"give [zoom] a line each for {', '.join(app)}, remove the file, or choose another directory",
        )

    def _toml(self, credentials: Credentials, url: str) -> str:
        staging = f"127.0.0.1:{self.staging_port}"
        zoom = "\n".join(f"{name} = {_quote(value)}" for name, value in _app(credentials, url).items())
        return f"""{_MARK}: it is for trying things out, no account is touched.

[zoom]
{zoom}

[reconcile]
wait = "2s"

[tracking]
poll_interval = "2s"

[ledger]
path = {_quote(str(self.directory / "ledger.db"))}

[[sources]]
name = "recordings"
type = "folder"
path = {_quote(str(self.recordings))}
settle = "500ms"

[staging]
type = "builtin"
listen = {_quote(staging)}
public_url = {_quote(f"http://{staging}")}

[web]
listen = "127.0.0.1:{self.web_port}"
"""


def new_credentials() -> Credentials:
    """Make up an app that nobody else has."""
    return Credentials(
        account_id=f"sandbox-{secrets.token_hex(8)}",
        client_id=secrets.token_hex(10),
        client_secret=secrets.token_hex(16),
    )


def _app(credentials: Credentials, url: str) -> dict[str, str]:
    """Return what [zoom] must say for the sandbox at `url`."""
    return {
        "account_id": credentials.account_id,
        "client_id": credentials.client_id,
        "client_secret": credentials.client_secret,
        "api_url": f"{url}/v2",
        "token_url": f"{url}/oauth/token",
    }


def _read_earlier(path: Path) -> tuple[dict[str, Any], str]:
    """Return the configuration that an earlier run wrote, read and as text; refuse one that somebody else did."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            text = file.read(_MAX_CONFIG_BYTES + 1)
        if len(text) > _MAX_CONFIG_BYTES:
            raise UsageError("the config.toml in the directory is too large", hint="choose another directory")
        if not text.startswith(_MARK):
            raise UsageError(
                "the directory has a config.toml that the sandbox did not write",
                hint="choose another directory",
            )
        return tomllib.loads(text), text
    except FileNotFoundError:
        return {}, ""
    except (OSError, ValueError) as exc:
        raise UsageError("the config.toml in the directory cannot be read", hint="remove it") from exc


def _section(earlier: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a table of the earlier configuration; people may have edited it."""
    section = earlier.get(name)
    return section if isinstance(section, dict) else {}


def _free_port(*, but: int) -> int:
    """Return any free port but `but`."""
    for _ in range(3):
        with contextlib.suppress(OSError), socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            free = int(sock.getsockname()[1])
            if free != but:
                return free
    raise UsageError("no port is free on 127.0.0.1")


def _quote(text: str) -> str:
    """Return `text` as a basic string of TOML."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
