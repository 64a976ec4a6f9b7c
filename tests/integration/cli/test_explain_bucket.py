"""`explain` of objects in a bucket, on a real S3 server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.s3_server import ADMIN

CHECKOUT = Path(__file__).parents[3]
MEDIA = CHECKOUT / "tests" / "fixtures" / "media" / "plain_stereo.mp3"


@pytest.fixture
def explain(s3_http, tmp_path):
    """Put a call and what is beside it into a bucket; return what `explain --json` says of a URI in it."""
    bucket, client = s3_http.make_bucket(), s3_http.client()
    sidecar = b'{"start_time": "2026-11-20T04:00:00Z"}'
    for key, body in {
        "calls/a.mp3": MEDIA.read_bytes(),
        "calls/a.json": sidecar,
        "calls/sub/b c.mp3": MEDIA.read_bytes(),
        "calls/notes.txt": b"x",
        "other/d.mp3": MEDIA.read_bytes(),
    }.items():
        client.put_object(Bucket=bucket, Key=key, Body=body)
    config = tmp_path / "config.toml"
    config.write_text(
        f'[zoom]\naccount_id = "a"\nclient_id = "c"\n[[sources]]\nname = "objects"\ntype = "s3"\nbucket = "{bucket}"\n'
        f'prefix = "calls/"\nregion = "us-east-1"\nendpoint_url = "{s3_http.endpoint_url}"\n'
    )
    config.chmod(0o600)

    def explain(key: str) -> tuple[int, list[dict], str]:
        ran = subprocess.run(
            [sys.executable, "-m", "uploader", "explain", "--config", str(config), "--json", f"s3://{bucket}/{key}"],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(CHECKOUT), **ADMIN.environment()},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return ran.returncode, [json.loads(line) for line in ran.stdout.splitlines()], ran.stderr

    return explain


def test_an_object_is_explained_with_the_sidecar_beside_it(explain):
    code, [found], _ = explain("calls/a.mp3")
    assert code == 0
    assert found["body"] == {"start_time": "2026-11-20T04:00:00Z", "interaction_info": {"channel_type": "voice"}}
    assert found["recording"].endswith("/calls/a.mp3")
    assert found["sidecar"].endswith("/calls/a.json")
    assert found["media"]["format"] == "mp3"


def test_a_prefix_means_every_recording_under_it(explain):
    code, found, _ = explain("calls/")
    assert code == 1
    keys = {one["recording"].rpartition("/")[2]: one["body"] is None for one in found}
    assert keys == {"a.mp3": False, "b c.mp3": True}


@pytest.mark.parametrize("key", ["other/d.mp3", "calls/none.mp3", "calls/a.json"])
def test_what_is_not_there_or_not_in_the_source_is_a_usage_error(explain, key):
    code, found, _ = explain(key)
    assert (code, found) == (2, [])
