"""A real object store under the running program: local recordings staged in it, and recordings that lie in it."""

from __future__ import annotations

import hashlib
import json

import pytest


@pytest.fixture(params=["s3_http", "s3_https"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch):
    """The real server's two faces, with the keys of the one who may do everything."""
    found = request.getfixturevalue(request.param)
    found.trust(monkeypatch)
    found.admin.use(monkeypatch)
    return found


def service_of(sandbox, store):
    return sandbox(*(["--ca", str(store.ca_file)] if store.ca_file else []))


def put(store, bucket, key, data):
    store.client().put_object(Bucket=bucket, Key=key, Body=data)


def keys_in(store, bucket):
    return sorted(entry["Key"] for entry in store.client().list_objects_v2(Bucket=bucket).get("Contents", []))


def fetched(service):
    """Return the digests of what the service fetched, by the call's start."""
    return {
        one["body"]["start_time"]: {fetch["sha256"] for fetch in one["fetches"] if fetch["status"] == 200}
        for one in service.accepted()
    }


def wait_analyzed(program, count):
    program.wait_for(lambda d: d.states()["analyzed"] >= count, what=f"{count} analyzed")


def test_local_recordings_are_fetched_from_the_bucket_and_the_copies_are_taken_back(sandbox, daemon, tools, store):
    bucket = store.make_bucket()
    service = service_of(sandbox, store)
    program = daemon(service)
    program.settings["staging"] = {
        "type": "s3", "bucket": bucket, "prefix": "calls/", "endpoint_url": store.endpoint_url, "url_ttl": "10m",
    }  # fmt: skip
    program.configure({})
    program.start()
    calls = [tools.make_call(n) for n in range(6)]
    audio = [tools.make_wav("bucket" if n < 2 else f"bucket {n}") for n in range(6)]  # two calls of the same bytes
    for n, call in enumerate(calls):
        program.drop(f"call {n}.wav", audio[n], call)
    wait_analyzed(program, 6)
    assert fetched(service) == {
        call["start_time"]: {hashlib.sha256(data).hexdigest()} for call, data in zip(calls, audio, strict=True)
    }
    tools.wait_until(lambda: not keys_in(store, bucket), seconds=10, what="the copies to be taken back")
    assert program.terminate() == 0
    assert "X-Amz-Signature" not in program.log()


def test_recordings_in_a_bucket_are_signed_where_they_lie_and_found_once_across_restarts(sandbox, daemon, tools, store):
    bucket = store.make_bucket()
    service = service_of(sandbox, store)
    program = daemon(service)
    program.settings["sources"] = [
        {
            "name": "exports", "type": "s3", "bucket": bucket, "prefix": "in/", "endpoint_url": store.endpoint_url,
            "rescan": "300ms", "sidecar_wait": "20s",
        }
    ]  # fmt: skip
    program.configure({})
    calls = [tools.make_call(20 + n) for n in range(4)]
    audio = [tools.make_wav(f"object {n}") for n in range(4)]
    names = ["a.wav", "deep/b c+ü.wav", "deep/c.wav", "d.wav"]
    for n in (0, 1):
        put(store, bucket, f"in/{names[n]}.json", json.dumps(calls[n]).encode())
        put(store, bucket, f"in/{names[n]}", audio[n])
    put(store, bucket, "out/not-ours.wav", audio[0])
    program.start()
    wait_analyzed(program, 2)
    put(store, bucket, f"in/{names[2]}", audio[2])  # its sidecar comes later
    program.wait_for(lambda d: d.rows("reason_code = 'sidecar_awaited'"), what="the sidecar to be awaited")
    program.kill()
    program.start()
    put(store, bucket, f"in/{names[2]}.json", json.dumps(calls[2]).encode())
    put(store, bucket, f"in/{names[3]}", audio[3])
    put(store, bucket, "in/d.json", json.dumps(calls[3]).encode())
    wait_analyzed(program, 4)
    assert fetched(service) == {
        call["start_time"]: {hashlib.sha256(data).hexdigest()} for call, data in zip(calls, audio, strict=True)
    }
    assert len(service.accepted()) == 4
    assert program.terminate() == 0
    wanted = [f"in/{name}" for name in names] + [f"in/{name}.json" for name in names[:3]] + ["in/d.json"]
    assert keys_in(store, bucket) == sorted([*wanted, "out/not-ours.wav"])
