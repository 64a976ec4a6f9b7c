"""`import` as a user runs it: alone, beside a daemon, interrupted, refused; the sandbox's books are the judge."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

SUMMANDS = ("submitted", "duplicate", "quarantined", "refused", "unconfirmed", "skipped", "discarded", "pending")


@pytest.fixture
def archive(tools, tmp_path: Path):
    """Return a function that makes a folder of recordings with their sidecars; the first are the oldest."""

    def make(count: int, *, start: int = 0, name: str = "archive") -> Path:
        folder = tmp_path / name
        for number in range(start, start + count):
            path = folder / f"month{number % 3}" / f"call{number:03}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(tools.make_wav(f"import {number}"))
            sidecar = path.with_name(path.name + ".json")
            sidecar.write_text(json.dumps(tools.make_call(number)))
            for one in (path, sidecar):
                os.utime(one, (1_700_000_000 + number, 1_700_000_000 + number))
        return folder

    return make


@pytest.fixture
def spawn():
    """Return a function that starts a command of a daemon's configuration and does not wait for it."""
    started: list[subprocess.Popen[str]] = []

    def start(daemon, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "uploader", "--config", str(daemon.config), *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def document(done: subprocess.CompletedProcess[str]) -> dict:
    """Return the one document of --json, once it is seen to add up."""
    found = json.loads(done.stdout)
    assert found["discovered"] == sum(found[name] for name in SUMMANDS), done.stdout
    assert found["submitted"] >= found["analyzed"]
    return found


def bodies(sandbox) -> Counter[str]:
    return Counter(one["body"]["disposition"] for one in sandbox.accepted())


def expected(numbers) -> Counter[str]:
    return Counter(f"case {number}" for number in numbers)


def settings(**more) -> dict:
    return {"budget": {"submissions_per_second": 100, "submissions_per_day": 0, "reads_per_second": 100}} | more


def test_archive_is_sent_once_and_the_same_call_again_finds_nothing_to_do(daemon, sandbox, archive):
    service = sandbox()
    alone = daemon(service, **settings())
    folder = archive(12)
    before = {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in folder.rglob("*")}
    first = alone.command("import", str(folder), "--json")
    assert first.returncode == 0, first.stderr
    assert document(first)["submitted"] == document(first)["discovered"] == 12
    assert bodies(service) == expected(range(12))
    # It has served them until the service had them all.
    assert all(fetch["status"] == 200 for one in service.accepted() for fetch in one["fetches"])
    assert all(one["fetches"] for one in service.accepted())
    second = alone.command("import", str(folder), "--json")
    assert second.returncode == 0, second.stderr
    assert document(second)["import"] == document(first)["import"]
    assert document(second)["discovered"] == 12
    assert {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in folder.rglob("*")} == before
    # Under another name the ledger knows them still.
    third = alone.command("import", str(folder), "--json", "--name", "once-more")
    assert third.returncode == 0, third.stderr
    assert document(third)["skipped"] == 12
    assert bodies(service) == expected(range(12))


def test_report_for_people_adds_up_and_names_what_to_do(daemon, sandbox, archive):
    service = sandbox()
    alone = daemon(service, **settings())
    folder = archive(5)
    (folder / "month0" / "call000.wav.json").unlink()
    (folder / "month1" / "call001.wav").write_bytes(b"")
    done = alone.command("import", str(folder), "--name", "old-calls")
    assert done.returncode == 1, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["found", "5"] in lines
    assert ["quarantined", "2"] in lines
    assert any(line[:2] == ["submitted", "3"] for line in lines)
    assert "sidecar_missing" in done.stdout
    assert "media_empty" in done.stdout
    assert "qm-uploader retry --import old-calls" in done.stdout
    # Mended and retried, the same import ends well.
    (folder / "month0" / "call000.wav.json").write_text('{"disposition": "case 0"}')
    (folder / "month1" / "call001.wav").unlink()
    alone.command("discard", "--yes", *[row.id for row in alone.rows("size_bytes = 0")])
    alone.command("retry", "--yes", "--import", "old-calls", "--state", "quarantined")
    again = alone.command("import", str(folder), "--name", "old-calls", "--json")
    assert again.returncode == 0, again.stderr + again.stdout
    assert (document(again)["submitted"], document(again)["discarded"]) == (4, 1)


def test_dry_run_sends_and_writes_nothing_and_says_what_would_be(daemon, sandbox, archive):
    service = sandbox()
    alone = daemon(service, **settings())
    folder = archive(6)
    (folder / "month0" / "call003.wav.json").write_text("{")
    (folder / "month2" / "copy.wav").write_bytes((folder / "month2" / "call002.wav").read_bytes())
    (folder / "month2" / "copy.wav.json").write_bytes((folder / "month2" / "call002.wav.json").read_bytes())
    done = alone.command("import", str(folder), "--dry-run", "--json", "--since", "2026-01-01T08:01:00Z")
    assert done.returncode == 1, done.stderr
    told = document(done)
    assert not alone.ledger.exists()
    assert told["discovered"] == 7
    assert (told["would_send"], told["quarantined"], told["duplicate"], told["skipped"]) == (4, 1, 1, 1)
    assert {(r["reason_code"], r["count"]) for r in told["reasons"]} == {
        ("sidecar_unreadable", 1), ("same_recording", 1), ("outside_filter", 1),
    }  # fmt: skip
    assert service.counters()["posts"] == 0
    # Against a ledger that has some of them, which stays as it is.
    alone.command("import", str(folder / "month1"), "--json")
    assert alone.states() == Counter(submitted=2) or alone.states()["analyzed"]
    tables = ("recording", "history", "attempt", "import", "source", "note", "tally")
    before = [alone.ask(f"SELECT count(*) AS c FROM {name}") for name in tables]
    again = alone.command("import", str(folder), "--dry-run", "--json")
    assert document(again)["skipped"] == 2
    assert document(again)["would_send"] == 3
    assert [alone.ask(f"SELECT count(*) AS c FROM {name}") for name in tables] == before
    assert service.counters()["posts"] == 2


def test_interrupted_in_the_middle_and_resumed_each_is_sent_exactly_once(daemon, sandbox, archive, spawn, tools):
    service = sandbox()
    alone = daemon(service, **settings(budget={"submissions_per_second": 20, "submissions_per_day": 0}))
    folder = archive(40)
    process = spawn(alone, "import", str(folder), "--json")
    tools.wait_until(lambda: len(service.accepted()) >= 5, seconds=30, what="some to be sent")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=40)
    assert process.returncode == 130, err
    assert 5 <= json.loads(out)["submitted"] < 40
    assert "The same command goes on" in err
    done = alone.command("import", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    assert document(done)["submitted"] == 40
    assert bodies(service) == expected(range(40))


def test_killed_in_the_middle_and_resumed_each_is_sent_exactly_once(daemon, sandbox, archive, spawn, tools):
    service = sandbox()
    alone = daemon(service, **settings(budget={"submissions_per_second": 20, "submissions_per_day": 0}))
    folder = archive(30)
    process = spawn(alone, "import", str(folder))
    tools.wait_until(lambda: len(service.accepted()) >= 5, seconds=30, what="some to be sent")
    process.kill()
    process.communicate()
    done = alone.command("import", str(folder), "--json", seconds=60)
    assert done.returncode == 0, done.stderr + done.stdout
    assert document(done)["submitted"] == 30
    assert bodies(service) == expected(range(30))


def test_running_daemon_gets_it_handed_over_behind_what_is_live(daemon, sandbox, archive, tools):
    service = sandbox()
    running = daemon(service, **settings(budget={"submissions_per_second": 10, "submissions_per_day": 0}))
    running.start()
    folder = archive(30)
    detached = running.command("import", str(folder), "--detach", "--name", "behind")
    assert detached.returncode == 0, detached.stderr
    assert "qm-uploader list --import behind" in detached.stdout
    live = running.drop("live.wav", tools.make_wav("live"), tools.make_call(900))
    running.wait_state(live, "submitted", "analyzed")
    assert len(running.rows("import_n > 0 AND state IN ('submitted', 'analyzed')")) < 25
    assert {row.lane for row in running.rows("import_n > 0")} == {1}
    followed = running.command("import", str(folder), "--name", "behind", "--json", seconds=60)
    assert followed.returncode == 0, followed.stderr
    assert document(followed)["submitted"] == 30
    assert bodies(service) == expected([*range(30), 900])
    assert running.terminate() == 0


def test_daemon_that_stops_while_it_is_followed_is_said(daemon, sandbox, archive, spawn, tools):
    service = sandbox()
    running = daemon(service, **settings(budget={"submissions_per_second": 2, "submissions_per_day": 0}))
    running.start()
    following = spawn(running, "import", str(archive(60)), "--json")
    tools.wait_until(lambda: len(service.accepted()) >= 2, seconds=30, what="some to be sent")
    assert running.terminate() == 0
    out, err = following.communicate(timeout=40)
    assert following.returncode == 1
    assert json.loads(out)["pending"] > 0
    assert "the daemon has stopped" in err


def test_interrupted_while_following_the_daemon_goes_on(daemon, sandbox, archive, spawn, tools):
    service = sandbox()
    running = daemon(service, **settings(budget={"submissions_per_second": 15, "submissions_per_day": 0}))
    running.start()
    following = spawn(running, "import", str(archive(30)))
    tools.wait_until(lambda: len(service.accepted()) >= 2, seconds=30, what="some to be sent")
    following.send_signal(signal.SIGTERM)
    _, err = following.communicate(timeout=20)
    assert following.returncode == 130
    assert "the daemon goes on" in err
    tools.wait_until(lambda: bodies(service) == expected(range(30)), seconds=30, what="the daemon to go on")
    assert running.terminate() == 0


def test_two_imports_at_once_are_sent_one_after_the_other(daemon, sandbox, archive, spawn):
    service = sandbox()
    alone = daemon(service, **settings(budget={"submissions_per_second": 20, "submissions_per_day": 0}))
    one, two = archive(20), archive(20, start=20, name="second")
    processes = [spawn(alone, "import", str(folder), "--json") for folder in (one, two)]
    results = [(process.communicate(timeout=60), process.returncode) for process in processes]
    assert [code for _, code in results] == [0, 0], results
    assert [json.loads(out)["submitted"] for (out, _), _ in results] == [20, 20]
    assert bodies(service) == expected(range(40))


def test_wrong_secret_ends_with_4_and_the_right_one_goes_on(daemon, sandbox, archive):
    service = sandbox()
    alone = daemon(service, **settings())
    folder, good = archive(4), alone.settings["zoom"]["client_secret"]
    alone.configure({"zoom": {"client_secret": "wrong"}})
    refused = alone.command("import", str(folder), "--json")
    assert refused.returncode == 4, refused.stderr
    assert document(refused)["pending"] == 4
    assert "error: Zoom refuses the app's credentials" in refused.stderr
    assert "hint: " in refused.stderr
    assert "wrong" not in refused.stderr
    alone.configure({"zoom": {"client_secret": good}})
    done = alone.command("import", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    assert bodies(service) == expected(range(4))


def test_missing_scope_ends_with_4(daemon, sandbox, archive):
    service = sandbox("--scopes", "zoom_quality_management:read:interactions:admin")
    alone = daemon(service, **settings())
    refused = alone.command("import", str(archive(3)), "--json")
    assert refused.returncode == 4, refused.stderr
    assert document(refused)["pending"] == 3
    assert "scope" in refused.stderr


def test_filters_limit_and_order_choose_what_is_sent(daemon, sandbox, archive):
    service = sandbox()
    alone = daemon(service, **settings())
    folder = archive(10)
    done = alone.command("import", str(folder), "--json", "--limit", "4", "--order", "newest", "--name", "few")
    assert done.returncode == 0, done.stderr
    assert document(done)["discovered"] == 4
    assert bodies(service) == expected([9, 8, 7, 6])
    names = [os.path.basename(os.fsdecode(row.location)) for row in alone.rows("import_n > 0")]
    assert names == [f"call{number:03}.wav" for number in (9, 8, 7, 6)]
    window = ("--since", "2026-01-01T08:02:00Z", "--until", "2026-01-01T08:05:00Z")
    more = alone.command("import", str(folder), "--json", *window)
    assert more.returncode == 0, more.stderr
    assert (document(more)["submitted"], document(more)["skipped"]) == (3, 7)
    assert bodies(service) == expected([9, 8, 7, 6, 2, 3, 4])


def test_settings_of_a_disabled_source_are_taken_and_flags_override(daemon, sandbox, archive, tools):
    service = sandbox()
    alone = daemon(service, **settings(source={"enabled": False, "require": ["queue_id"]}))
    folder = archive(2)
    kept = alone.command("import", "--source", "hq", str(folder), "--json")
    assert kept.returncode == 1
    assert document(kept)["reasons"] == [{"state": "quarantined", "reason_code": "field_missing", "count": 2}]
    done = alone.command("import", "--source", "hq", "--require", "agent", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    assert bodies(service) == expected(range(2))
    assert {row["name"] for row in alone.ask("SELECT name FROM source")} == {"hq"}
    assert alone.ask("SELECT count(*) AS c FROM entry")[0]["c"] == 0


def test_paused_import_waits_and_says_so(daemon, sandbox, archive, spawn, tools):
    service = sandbox()
    alone = daemon(service, **settings(budget={"submissions_per_second": 5, "submissions_per_day": 0}))
    folder = archive(12)
    process = spawn(alone, "import", str(folder), "--name", "slow", "--json")
    tools.wait_until(lambda: len(service.accepted()) >= 2, seconds=30, what="some to be sent")
    assert alone.command("pause", "--import", "slow").returncode == 0
    assert process.stderr is not None
    line = process.stderr.readline()
    while "Paused" not in line:
        assert line, "it has ended without a word"
        line = process.stderr.readline()
    assert alone.command("resume", "--import", "slow").returncode == 0
    out, err = process.communicate(timeout=40)
    assert process.returncode == 0, err
    assert json.loads(out)["submitted"] == 12


def test_lost_answers_are_looked_for_and_each_is_accepted_once(daemon, sandbox, archive):
    service = sandbox("--fault", "lost-answer:0.3", "--seed", "7")
    alone = daemon(service, **settings())
    done = alone.command("import", str(archive(20)), "--json", seconds=100)
    assert done.returncode == 0, done.stderr + done.stdout
    assert document(done)["submitted"] == 20
    assert bodies(service) == expected(range(20))


def test_file_that_is_still_being_written_is_looked_at_twice(daemon, sandbox, archive, spawn, tools):
    service = sandbox()
    alone = daemon(service, **settings())
    folder = archive(1)
    audio, path = tools.make_wav("growing"), folder / "growing.wav"
    path.with_name("growing.wav.json").write_text(json.dumps(tools.make_call(500)))
    path.write_bytes(audio[:1000])
    process = spawn(alone, "import", str(folder), "--json")
    tools.wait_until(lambda: len(service.accepted()) == 1, seconds=30, what="the other one to be sent")
    path.write_bytes(audio)
    out, err = process.communicate(timeout=40)
    assert process.returncode == 0, err + out
    assert bodies(service) == expected([0, 500])


def test_wait_analyzed_ends_when_all_analyses_were_seen(daemon, sandbox, archive):
    service = sandbox("--analyze-delay", "1s")
    alone = daemon(service, **settings())
    done = alone.command("import", str(archive(3)), "--wait", "analyzed", "--json", seconds=60)
    assert done.returncode == 0, done.stderr
    assert document(done)["analyzed"] == 3


def test_prefix_of_a_bucket_is_sent_in_place(daemon, sandbox, archive, s3_http):
    service, bucket = sandbox(), s3_http.make_bucket()
    source = {"name": "arch", "type": "s3", "bucket": bucket, "endpoint_url": s3_http.endpoint_url, "enabled": False}
    alone = daemon(service, **settings(sources=[source | {"region": "us-east-1"}]))
    folder = archive(6)
    for path in folder.rglob("*.*"):
        key = f"old/{path.relative_to(folder)}"
        s3_http.client().put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
    s3_http.client().put_object(Bucket=bucket, Key="new/other.wav", Body=b"x")
    environ = s3_http.admin.environment()
    rehearsed = alone.command("import", f"s3://{bucket}/old/", "--dry-run", "--json", **environ)
    assert document(rehearsed)["would_send"] == 6, rehearsed.stderr
    done = alone.command("import", f"s3://{bucket}/old/", "--json", **environ)
    assert done.returncode == 0, done.stderr + done.stdout
    assert document(done)["submitted"] == 6
    assert bodies(service) == expected(range(6))
    refused = alone.command("import", f"s3://{bucket}/", "--json", AWS_ACCESS_KEY_ID="no", AWS_SECRET_ACCESS_KEY="no")
    assert refused.returncode == 4, refused.stderr
