"""The metrics of a running daemon agree with what was done, and a closed gate shows in them."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families


def read(program) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return every sample by name and labels, without the metrics' common prefix."""
    status, text = program.get("/metrics")
    assert status == 200, text
    return {
        (sample.name.removeprefix("qm_uploader_"), frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def test_what_was_done_is_what_is_counted(sandbox, daemon, tools):
    service = sandbox("--analyze-delay", "0s")
    program = daemon(service)
    for number in range(5):
        program.drop(f"call{number}.wav", tools.make_wav(f"metrics {number}"), tools.make_call(number))
    program.drop("bad.wav", tools.make_wav("bad"), {"start_time": "never"})
    program.start()
    program.wait_for(
        lambda d: d.states() == {"analyzed": 5, "quarantined": 1}, what="five analyses and one quarantined"
    )

    found = read(program)

    assert value(found, "recordings", source="hq", state="analyzed") == 5
    assert value(found, "recordings", source="hq", state="quarantined") == 1
    assert value(found, "state_entries_total", source="hq", state="submitted") == 5
    assert value(found, "attempts_total", outcome="accepted", cause="none") == 5
    assert value(found, "requests_total", request="submission", status="2xx") == 5
    assert value(found, "request_seconds_count", request="submission") == 5
    assert value(found, "accepted_seconds_count") == 5
    assert value(found, "submissions_today") == 5
    assert value(found, "requests_total", request="token", status="2xx") >= 1
    assert value(found, "fetched_bytes_total") >= 5 * len(tools.make_wav("x"))
    assert value(found, "scan_seconds_count", source="hq") >= 1
    assert value(found, "source_changes_total", source="hq", change="new") == 6
    assert value(found, "source_files", source="hq") == 12
    assert value(found, "source_watched", source="hq") == 1
    assert value(found, "ledger_commit_seconds_count") > 0
    assert value(found, "server_connections", server="web") == 1
    assert value(found, "submission_open") == 1
    assert value(found, "oldest_waiting_seconds") == 0
    for what in ("submission", "token", "analysis"):
        assert value(found, "last_success_timestamp_seconds", what=what) > 1.7e9


def test_refused_credentials_show_as_a_closed_gate(sandbox, daemon, tools):
    program = daemon(sandbox(), zoom={"client_secret": "wrong"})
    program.drop("call.wav", tools.make_wav("closed"), tools.make_call(0))
    program.start()
    program.wait_for(lambda d: d.gates(), what="a closed gate")

    found = read(program)

    assert value(found, "submission_open") == value(found, "gate_open", gate="token") == 0
    assert value(found, "gate_closed", gate="token", reason="credentials") == 1
    assert value(found, "gate_open", gate="disk") == 1
    assert value(found, "oldest_waiting_seconds") > 0
    assert value(found, "attempts_total", outcome="accepted", cause="none") == 0
