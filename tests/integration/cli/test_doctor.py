"""`doctor` as a process of its own, against a sandbox, a real S3 server, and what may be wrong with either."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import secrets
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from tests.conftest import missing
from uploader.ledger.ledger import Ledger
from uploader.sandbox.config import SandboxConfig
from uploader.sandbox.place import Place
from uploader.sandbox.server import Sandbox

CHECKOUT = Path(__file__).parents[3]
SECRET = "canary-" + secrets.token_hex(8)
ALL = {
    "configuration", "clock", "token", "scopes", "api", "source recordings", "watch limits", "staging",
    "ledger", "disk", "backups", "sqlite", "daemon", "open files",
}  # fmt: skip


@pytest.fixture
def run_sandbox(tmp_path):
    """Start a sandbox with the settings given; return it and the configuration it wrote."""
    with contextlib.ExitStack() as running:

        def start(**settings):
            place = Place.prepare(tmp_path / "sandbox")
            sandbox = running.enter_context(Sandbox(SandboxConfig(**settings)))
            place.write_config(sandbox.credentials, url=sandbox.url)
            return sandbox, place.config

        yield start


@pytest.fixture
def doctor(tmp_path):
    """Run `doctor --json` and return exit code, the findings by name, and all that was printed."""

    def run(config: Path, *arguments: str, **environ: str):
        done = subprocess.run(
            [sys.executable, "-m", "uploader", "--config", str(config), "doctor", "--json", *arguments],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(CHECKOUT), "HOME": str(tmp_path), **environ},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode in {0, 1, 2, 4}, done.stderr
        (line,) = done.stdout.splitlines()
        document = json.loads(line)
        assert document["ok"] is (done.returncode == 0)
        found = {check["name"]: check for check in document["checks"]}
        assert all(set(check) == {"name", "status", "message", "hint"} for check in found.values())
        return done.returncode, found, done.stdout + done.stderr

    return run


def edit(config: Path, *changes: tuple[str, str]) -> Path:
    text = config.read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    config.write_text(text)
    return config


def value(config: Path, key: str) -> str:
    return next(line for line in config.read_text().splitlines() if line.startswith(f"{key} = ")).split(" = ")[1]


def folder_of(config: Path) -> Path:
    return config.parent / "recordings"


def statuses(found):
    return {name: check["status"] for name, check in found.items()}


def test_against_a_sandbox_all_is_well_and_nothing_is_left(run_sandbox, doctor):
    sandbox, config = run_sandbox()
    before = sorted(config.parent.rglob("*"))
    code, found, _ = doctor(config)
    assert statuses(found) == dict.fromkeys(ALL, "ok")
    assert code == 0
    assert sorted(config.parent.rglob("*")) == before  # no ledger was made, nothing lies in the source
    assert sandbox.books()["counters"]["posts"] == 0


def test_for_people_each_is_a_line_with_a_summary_and_no_colours_in_a_pipe(run_sandbox):
    _, config = run_sandbox()
    done = subprocess.run(
        [sys.executable, "-m", "uploader", "doctor", "--config", str(config)],
        cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    *lines, blank, summary = done.stdout.splitlines()
    assert all(line.startswith("ok    ") for line in lines)
    assert (blank, summary) == ("", f"{len(ALL)} checks: {len(ALL)} ok.")
    assert done.stderr == ""


def test_a_wrong_secret_is_4_and_is_not_repeated(run_sandbox, doctor):
    _, config = run_sandbox()
    edit(config, (f"client_secret = {value(config, 'client_secret')}", f'client_secret = "{SECRET}"'))
    code, found, printed = doctor(config)
    assert code == 4
    assert found["token"]["status"] == "fail"
    assert "zoom.client_secret" in found["token"]["message"]
    assert found["token"]["hint"]
    assert (found["scopes"]["status"], found["api"]["status"]) == ("skip", "skip")
    assert found["staging"]["status"] == "ok"
    assert SECRET not in printed


def test_a_missing_scope_is_4_and_named(run_sandbox, doctor):
    _, config = run_sandbox(scopes=("qm_interactions:read",))
    code, found, _ = doctor(config)
    assert code == 4
    assert "zoom_quality_management:write:interactions" in found["scopes"]["message"]
    assert found["api"]["status"] == "ok"


def test_without_the_right_to_read_the_listing_is_refused(run_sandbox, doctor):
    _, config = run_sandbox(scopes=("qm_interactions:write",))
    code, found, _ = doctor(config)
    assert code == 4
    assert (found["scopes"]["status"], found["api"]["status"]) == ("fail", "fail")


def test_a_service_that_is_away_is_1_and_the_rest_is_looked_at(run_sandbox, doctor):
    sandbox, config = run_sandbox()
    sandbox.stop()
    code, found, _ = doctor(config)
    assert code == 1
    assert "connection refused" in found["token"]["message"]
    assert found["clock"]["status"] == "skip"
    assert found["source recordings"]["status"] == found["staging"]["status"] == found["ledger"]["status"] == "ok"


def test_a_missing_folder_fails_with_a_hint(run_sandbox, doctor):
    _, config = run_sandbox()
    folder_of(config).rmdir()
    code, found, _ = doctor(config)
    assert code == 1
    assert found["source recordings"]["status"] == "fail"
    assert "mount" in found["source recordings"]["hint"]


def test_a_file_instead_of_a_folder_fails(run_sandbox, doctor):
    _, config = run_sandbox()
    folder_of(config).rmdir()
    folder_of(config).write_text("")
    assert doctor(config)[1]["source recordings"]["message"] == "`path` is not a folder"


def test_what_this_user_may_not_read_or_write_fails(run_sandbox, need):
    if os.geteuid() != 0:
        missing("gives files to somebody else: run the tests as root")
    _, config = run_sandbox()
    closed = folder_of(config) / "closed.wav", folder_of(config) / "closed"
    closed[0].write_bytes(b"x")
    closed[1].mkdir()
    for path in closed:
        path.chmod(0)
    for path in (*closed, config.parent):
        os.chown(path, 65534, 65534)
    # without these capabilities root is a user like others
    powerless = [need("setpriv", "util-linux"), "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
    done = subprocess.run(
        [*powerless, sys.executable, "-m", "uploader", "--config", str(config), "doctor", "--json"],
        cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    found = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert "1 recording and 1 folder cannot be read" in found["source recordings"]["message"]
    assert found["ledger"]["message"] == "the folder of the ledger cannot be written"


@pytest.mark.parametrize(("section", "name"), [("staging", "staging"), ("web", "daemon")])
def test_a_port_that_is_taken_fails_with_its_setting(run_sandbox, doctor, section, name):
    _, config = run_sandbox()
    taken = socket.create_server(("127.0.0.1", 0))
    address = f'"127.0.0.1:{taken.getsockname()[1]}"'
    old = config.read_text().partition(f"[{section}]")[2].partition("listen = ")[2].splitlines()[0]
    edit(config, (f"listen = {old}", f"listen = {address}"))
    with taken:
        code, found, _ = doctor(config)
    assert code == 1
    assert found[name]["status"] == "fail"
    assert f"[{section}] listen" in found[name]["message"]
    assert "taken by another program" in found[name]["message"]


def test_a_public_url_that_leads_elsewhere_fails(run_sandbox, doctor):
    sandbox, config = run_sandbox()
    edit(config, (f"public_url = {value(config, 'public_url')}", f'public_url = "{sandbox.url}"'))
    code, found, _ = doctor(config)
    assert code == 1
    assert "answers 404" in found["staging"]["message"]
    assert "reverse proxy" in found["staging"]["hint"]


@pytest.fixture
def api_with_a_clock():
    """A service that refuses everybody, at a time of its own."""
    server = None

    class Handler(http.server.BaseHTTPRequestHandler):
        ahead = timedelta(0)

        def do_GET(self):
            self.send_response(401)
            self.end_headers()

        def date_time_string(self, timestamp=None):
            return format_datetime(datetime.now(UTC) + self.ahead, usegmt=True)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server, Handler
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(("minutes", "status"), [(-2, "warn"), (10, "fail")])
def test_a_clock_that_is_off_is_told_by_the_date_of_an_answer(run_sandbox, doctor, api_with_a_clock, minutes, status):
    server, handler = api_with_a_clock
    handler.ahead = timedelta(minutes=minutes)
    _, config = run_sandbox()
    edit(config, (value(config, "api_url"), f'"http://127.0.0.1:{server.server_port}/v2"'))
    _, found, _ = doctor(config)
    assert found["clock"]["status"] == status
    assert ("behind" if minutes > 0 else "ahead of") in found["clock"]["message"]
    assert "NTP" in found["clock"]["hint"]


def test_another_accounts_ledger_is_2_and_names_both(run_sandbox, doctor):
    _, config = run_sandbox()
    ledger = Ledger.open_beside(config.parent / "ledger.db")
    ledger.remember_account(account_id="the-other", api_url="https://api.zoom.us/v2")
    ledger.close()
    code, found, _ = doctor(config)
    assert code == 2
    assert found["ledger"]["status"] == "fail"
    assert "the-other" in found["ledger"]["message"]
    assert value(config, "account_id").strip('"') in found["ledger"]["message"]


def test_a_ledger_that_is_none_fails_and_is_left_as_it_is(run_sandbox, doctor):
    _, config = run_sandbox()
    path = config.parent / "ledger.db"
    path.write_bytes(b"this is no database" * 1000)
    code, found, _ = doctor(config)
    assert code == 1
    assert "damaged" in found["ledger"]["message"]
    assert path.read_bytes() == b"this is no database" * 1000


def test_a_damaged_page_is_found(run_sandbox, doctor):
    _, config = run_sandbox()
    path = config.parent / "ledger.db"
    Ledger.open_beside(path).close()
    content = bytearray(path.read_bytes())
    content[4096 * 4 : 4096 * 8] = secrets.token_bytes(4096 * 4)
    path.write_bytes(content)
    code, found, _ = doctor(config)
    assert code == 1
    assert "damaged" in found["ledger"]["message"]


def test_a_folder_of_the_ledger_that_is_missing_fails(run_sandbox, doctor):
    _, config = run_sandbox()
    edit(config, ("/ledger.db", "/none/ledger.db"))
    code, found, _ = doctor(config)
    assert code == 1
    assert "mkdir -p" in found["ledger"]["hint"]
    assert found["disk"]["status"] == "ok"


def test_a_wrong_configuration_is_2_and_one_document(run_sandbox, doctor):
    _, config = run_sandbox()
    edit(config, ('settle = "500ms"', 'settle = "soon"'))
    code, found, _ = doctor(config)
    assert code == 2
    assert set(found) == {"configuration"}
    assert "settle" in found["configuration"]["message"]


def test_a_secret_that_others_can_read_is_a_warning_and_0(run_sandbox, doctor):
    _, config = run_sandbox()
    config.chmod(0o644)
    code, found, _ = doctor(config)
    assert code == 0
    assert found["configuration"]["status"] == "warn"
    assert "chmod 600" in found["configuration"]["message"]


def test_beside_a_daemon_its_own_server_is_asked(run_sandbox, doctor):
    _, config = run_sandbox()
    command = [sys.executable, "-m", "uploader", "--config", str(config), "run"]
    with subprocess.Popen(command, cwd=CHECKOUT, stderr=subprocess.PIPE, text=True) as daemon:
        assert daemon.stderr is not None
        try:
            for line in daemon.stderr:
                if "daemon.started" in line:
                    break
            code, found, _ = doctor(config)
        finally:
            daemon.terminate()
            daemon.communicate(timeout=30)
    assert code == 0, found
    assert statuses(found) == dict.fromkeys(ALL, "ok")
    assert found["daemon"]["message"] == "runs and is healthy"


@pytest.fixture
def with_bucket(run_sandbox, s3_http):
    """A configuration whose source and staging are one bucket of a real server."""
    _, config = run_sandbox()
    bucket = s3_http.make_bucket()
    text = config.read_text()
    head, _, rest = text.partition("[[sources]]")
    place = f'type = "s3"\nbucket = "{bucket}"\nendpoint_url = "{s3_http.endpoint_url}"\n'
    web = "[web]" + rest.partition("[web]")[2]
    config.write_text(f'{head}[[sources]]\nname = "store"\n{place}[staging]\n{place}prefix = "staged/"\n{web}')
    return config, bucket


def test_rights_in_a_bucket_are_found_out_by_using_them_and_nothing_is_left(with_bucket, doctor, s3_http):
    config, bucket = with_bucket
    client = s3_http.client()
    client.put_object(Bucket=bucket, Key="a.wav", Body=b"RIFF")
    code, found, printed = doctor(config, **s3_http.admin.environment())
    assert code == 0, found
    assert (found["source store"]["status"], found["staging"]["status"]) == ("ok", "ok")
    assert [entry["Key"] for entry in client.list_objects_v2(Bucket=bucket)["Contents"]] == ["a.wav"]
    assert "X-Amz" not in printed
    assert s3_http.admin.secret_key not in printed


def test_rights_that_are_missing_are_named(with_bucket, doctor, s3_http):
    config, bucket = with_bucket
    s3_http.client().put_object(Bucket=bucket, Key="a.wav", Body=b"RIFF")
    code, found, _ = doctor(config, **s3_http.lister.environment())
    assert code == 1
    assert found["source store"]["message"].startswith("get: ")
    assert found["staging"]["message"].startswith("put: ")
    code, found, _ = doctor(config)
    assert code == 1
    assert "credentials" in found["staging"]["message"]
