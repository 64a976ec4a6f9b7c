"""The client secret as it stands now: a rotated one is taken from its file without a restart."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import structlog

from uploader.settings.model import ZoomSettings
from uploader.settings.secrets import Vault

log = structlog.get_logger()


class CurrentSecret:
    """Reads the secret again wherever it came from a file, else keeps it. Safe from any thread.

    While the file cannot be read, the last good one is given: what is wrong with it shows when it is refused.
    """

    def __init__(self, zoom: ZoomSettings, *, environ: Mapping[str, str]) -> None:
        self._known = zoom.client_secret.get_secret_value() if zoom.client_secret else ""
        self._file = zoom.client_secret_file
        self._environ = environ
        self._lock = threading.Lock()
        # A secret of the environment or of the configuration itself is read once.
        self._is_credential = not self._file and self._read() == self._known != ""

    def __call__(self) -> str:
        """Return the secret."""
        if not self._file and not self._is_credential:
            return self._known
        found = self._read()
        with self._lock:
            if not found:
                log.warning("secret.unreadable")
            elif found != self._known:
                log.info("secret.changed")
                self._known = found
            return self._known

    def _read(self) -> str:
        vault = Vault(environ=self._environ, need_secrets=True)
        if self._file:
            found = vault.settled({"zoom": {"client_secret_file": self._file}}, above={})
        else:
            found = vault.credentials(above={})
        return str(found.get("zoom", {}).get("client_secret") or "")
