"""A service that answers at once and keeps nothing: nginx, with a new id for every interaction."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.benchmarks.scene import Scene

_CONFIGURATION = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx-error.log;
events {{ worker_connections 1024; }}
http {{
  log_format times '$msec $request_method $status';
  client_body_temp_path {folder}/nginx-body; proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi; uwsgi_temp_path {folder}/nginx-uwsgi; scgi_temp_path {folder}/nginx-scgi;
  keepalive_requests 1000000; default_type application/json; access_log off;
  server {{
    listen 127.0.0.1:{port};
    location = /oauth/token {{
      return 200 '{{"access_token":"$request_id","token_type":"bearer","expires_in":3600}}';
    }}
    location = /v2/qm/interactions {{
      access_log {folder}/requests.log times;
      if ($request_method = GET) {{
        return 200 '{{"interactions":[],"next_page_token":"","page_size":99,"total_records":0}}';
      }}
      return 201 '{{"interaction_id":"$request_id"}}';
    }}
    location /v2/ {{ return 404 '{{"code":3001,"message":"unknown"}}'; }}
  }}
}}
"""


class Sink:
    """nginx on loopback. `accepted` tells when each POST was answered, in seconds since the epoch."""

    def __init__(self, folder: Path, port: int) -> None:
        self._log = folder / "requests.log"
        self.url = f"http://127.0.0.1:{port}"

    def accepted(self) -> list[float]:
        """Return the times of all POSTs that were answered 201."""
        if not self._log.exists():
            return []
        lines = (line.split() for line in self._log.read_text().splitlines())
        return [float(parts[0]) for parts in lines if parts[1:] == ["POST", "201"]]

    def forget(self) -> None:
        """Forget what was answered so far."""
        self._log.write_text("")


@contextmanager
def sink(folder: Path) -> Iterator[Sink]:
    """Run the sink with its files in `folder`."""
    program = shutil.which("nginx")
    if program is None:
        raise RuntimeError("nginx is missing: apt-get install nginx-light")
    port = free_port()
    (folder / "nginx.conf").write_text(_CONFIGURATION.format(folder=folder, port=port))
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([program, "-c", str(folder / "nginx.conf"), "-p", str(folder)], **quiet)
    try:
        Scene.until(lambda: _listens(port) or process.poll() is not None, seconds=10)
        if process.poll() is not None:
            raise RuntimeError("nginx did not start")
        yield Sink(folder, port)
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    """Return a port of loopback that nothing listens on."""
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _listens(port: int) -> bool:
    with closing(socket.socket()) as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0
