"""The directory of a sandbox: its recordings, its memory, and a configuration that uses it.

Knows what the configuration looks like, and nothing of how it is read.
"""

from __future__ import annotations

import contextlib
import json
import os
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A directory, what an earlier run left in it, and ports for the daemon that is to use it."""

    directory: Path
    staging_port: int
    web_port: int
    earlier: dict[str, Any]

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
        earlier = _read_earlier(directory / "config.toml")
        staging = _free_port(_section(earlier, "staging").get("listen"), but=0)
        return cls(
            directory=directory,
            staging_port=staging,
            web_port=_free_port(_section(earlier, "web").get("listen"), but=staging),
            earlier=earlier,
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
        """Write the configuration for the sandbox at `url`, readable by its owner only, and return it."""
        text = self._toml(credentials, url)
        made = self.config.with_name(".config.toml.new")
        try:
            made.unlink(missing_ok=True)
            fd = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                file.write(text)
            made.replace(self.config)
        except OSError as exc:
            raise UsageError(f"the configuration cannot be written: {exc.strerror}") from exc
        return text

    def _toml(self, credentials: Credentials, url: str) -> str:
        staging = f"127.0.0.1:{self.staging_port}"
        return f"""{_MARK}: it is for trying things out, no account is touched.

[zoom]
account_id = {_quote(credentials.account_id)}
client_id = {_quote(credentials.client_id)}
client_secret = {_quote(credentials.client_secret)}
api_url = {_quote(f"{url}/v2")}
token_url = {_quote(f"{url}/oauth/token")}

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


def _read_earlier(path: Path) -> dict[str, Any]:
    """Return the configuration that an earlier run wrote; refuse one that somebody else did."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_MAX_CONFIG_BYTES)
        if not text.startswith(_MARK):
            raise UsageError(
                "the directory has a config.toml that the sandbox did not write",
                hint="choose another directory",
            )
        return tomllib.loads(text)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as exc:
        raise UsageError("the config.toml in the directory cannot be read", hint="remove it") from exc


def _section(earlier: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a table of the earlier configuration; people may have edited it."""
    section = earlier.get(name)
    return section if isinstance(section, dict) else {}


def _free_port(named: object, *, but: int) -> int:
    """Return the port that an earlier run named if it is free, else any free one but `but`."""
    _, _, text = str(named or "").rpartition(":")
    for port in (int(text) if text.isdecimal() and len(text) <= 5 else 0, 0, 0):
        with contextlib.suppress(OSError, OverflowError), socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", port))
            free = int(sock.getsockname()[1])
            if free != but:
                return free
    raise UsageError("no port is free on 127.0.0.1")


def _quote(text: str) -> str:
    """Return `text` as a basic string of TOML."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
