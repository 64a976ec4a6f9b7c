"""Budgets that the service enforces: kept, shared between live recordings and an import, and learned."""

from __future__ import annotations

import json


def fill(folder, tools, count):
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:03}.wav").write_bytes(tools.make_wav(f"{folder.name} {number}"))
        (folder / f"{number:03}.json").write_text(json.dumps(tools.make_call(1000 + number)))
    return folder


def import_all(program, folder):
    done = program.command("import", str(folder), "--detach", "--json")
    assert done.returncode == 0, done.stderr


def test_a_limit_that_looks_back_a_second_at_each_arrival_is_kept_and_used(sandbox, daemon, tools, tmp_path):
    service = sandbox("--rate-limit", "20:sliding", "--analyze-delay", "0s")
    program = daemon(service, budget={"submissions_per_second": 20})
    program.start()
    import_all(program, fill(tmp_path / "archive", tools, 50))
    program.wait_for(lambda _: len(service.accepted()) == 50, seconds=60, what="fifty accepted")
    # A machine that stands still for longer than is reckoned with may cost one.
    assert service.counters()["rate_limited"]["second"] <= 1


def test_a_live_recording_goes_before_an_import_under_way(sandbox, daemon, tools, tmp_path):
    service = sandbox("--rate-limit", "8", "--analyze-delay", "0s")
    program = daemon(service, budget={"submissions_per_second": 8})
    program.start()
    import_all(program, fill(tmp_path / "archive", tools, 80))
    program.wait_for(lambda _: len(service.accepted()) > 3, what="the import's first")
    before = len(service.accepted())
    path = program.drop("live.wav", tools.make_wav("live"), tools.make_call(1))
    program.wait_state(path, "submitted", "analyzed")
    # Resting and being handed over take a second or two on a busy machine: so many of the import go meanwhile.
    assert len(service.accepted()) - before <= 30
    status = json.loads(program.command("status", "--json").stdout)
    assert status["forecast"]["waiting"] > 0
    assert status["imports"][0]["forecast"]["per"] == "second"


def test_a_lower_limit_is_learned_from_the_headers_shown_and_known_after_a_restart(sandbox, daemon, tools, tmp_path):
    service = sandbox("--rate-limit", "8", "--analyze-delay", "0s")
    program = daemon(service, budget={"submissions_per_second": 200})
    program.start()
    import_all(program, fill(tmp_path / "archive", tools, 32))
    program.wait_for(lambda _: len(service.accepted()) >= 12, seconds=60, what="a dozen accepted")
    status = program.command("status")
    assert "the service permits 8 a second; [budget] says 200" in status.stdout
    program.terminate()
    refused = service.counters()["rate_limited"]["second"]
    program.start()
    program.wait_for(lambda _: len(service.accepted()) == 32, seconds=60, what="all accepted")
    assert service.counters()["rate_limited"]["second"] <= refused + 1
