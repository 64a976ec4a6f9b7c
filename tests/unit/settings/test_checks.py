"""Each mistake gives its sentence, and all come at once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from uploader.errors import ConfigurationError
from uploader.settings.load import changed_source, load
from uploader.settings.model import LedgerSettings, SourceSettings

SOURCE = '[[sources]]\nname = "x"\ntype = "folder"\npath = "/x"\n'


def test_a_good_file_has_no_problems(problems, good):
    assert problems(good, need_secrets=True) == {}


@pytest.mark.parametrize(
    ("section", "line", "field", "said"),
    [
        ("zoom", 'acount_id = "x"', "zoom.acount_id", "did you mean account_id"),
        ("zoom", 'url_ttl = "1h"', "zoom.url_ttl", "did you mean staging.url_ttl"),
        ("zoom", 'marker = "disposition"', "zoom.marker", "not supported yet"),
        ("zoom", 'marker = "tag"', "zoom.marker", 'one of "none"'),
        ("zoom", 'api_url = "http://api.example.com"', "zoom.api_url", "https://"),
        ("zoom", 'api_url = "ftp://x/"', "zoom.api_url", "must be a URL"),
        ("zoom", 'api_url = ""', "zoom.api_url", "is required"),
        ("zoom", 'token_url = "https://me:pw@zoom.us/x"', "zoom.token_url", "user or password"),
        ("zoom", 'token_url = "https://zoom.us/x?a=b"', "zoom.token_url", "query"),
        ("zoom", "request_timeout = 30", "zoom.request_timeout", "500ms"),
        ("zoom", 'request_timeout = "-1s"', "zoom.request_timeout", "500ms"),
        ("budget", "submissions_per_second = 0", "budget.submissions_per_second", "more than 0"),
        ("budget", "submissions_per_day = -1", "budget.submissions_per_day", "at least 0"),
        ("budget", "submissions_per_day = true", "budget.submissions_per_day", "whole number"),
        ("budget", "reads_per_second = inf", "budget.reads_per_second", "at most"),
        ("retry", "attempts = 0", "retry.attempts", "at least 1"),
        ("retry", 'initial = "2h"', "retry.initial", "retry.maximum"),
        ("reconcile", 'on_unconfirmed = "guess"', "reconcile.on_unconfirmed", "one of"),
        ("ledger", 'path = "ledger.db"', "ledger.path", "absolute"),
        ("ledger", 'path = ""', "ledger.path", "required"),
        ("ledger", 'backup_dir = "backups"', "ledger.backup_dir", "absolute"),
        ("ledger", 'backup_interval = "daily"', "ledger.backup_interval", "500ms"),
        ("ledger", "backup_keep = 0", "ledger.backup_keep", "at least 1"),
        ("ledger", "backup_keep = -1", "ledger.backup_keep", "at least 1"),
        ("ledger", 'path = "/a/l.db"\nbackup_dir = "/a/l.db"', "ledger.backup_dir", "not the ledger"),
        ("ledger", 'path = "/a/backups"', "ledger.backup_dir", "not the ledger"),
        ("run", "workers = 65", "run.workers", "at most 64"),
        ("run", "workers = 0", "run.workers", "at least 1"),
        ("log", 'level = "trace"', "log.level", "one of"),
        ("web", 'listen = "8765"', "web.listen", "address and a port"),
        ("logs", 'level = "info"', "logs", "did you mean log"),
    ],
)
def test_a_mistake_outside_the_sources_is_named_by_its_key(problems, good, section, line, field, said):
    text = good.replace("[zoom]", f"[zoom]\n{line}") if section == "zoom" else f"{good}\n[{section}]\n{line}\n"
    found = problems(text)
    assert list(found) == [field]
    assert said in found[field]


def test_backups_never_lie_in_a_source(problems, good):
    text = f'{good}\n{SOURCE}[ledger]\nbackup_dir = "/x/backups"\n'
    assert problems(text) == {"ledger.backup_dir": "must not lie in a source: nothing is ever written there"}
    assert problems(text.replace("/x/backups", "/xy")) == {}


def test_backups_lie_beside_the_ledger_unless_told_otherwise():
    assert LedgerSettings(path="/a/l.db").backup_place == "/a/backups"
    assert LedgerSettings(path="/a/l.db", backup_dir="/mnt/x").backup_place == "/mnt/x"


@pytest.mark.parametrize(
    ("line", "field", "said"),
    [
        ('timezone = "Europe/Berln"', "timezone", "did you mean Europe/Berlin"),
        ('timezone = "../../etc/passwd"', "timezone", "IANA"),
        ('timezone = "Europe"', "timezone", "IANA"),
        ('phone_region = "de"', "phone_region", "capitals"),
        ('profile = "genesys"', "profile", "not supported yet"),
        ('on_success = "delete"', "on_success", "not supported yet"),
        ('move_to = "/x"', "move_to", "not supported"),
        ('role_arn = "arn:x"', "role_arn", "not supported"),
        ('external_id = "x"', "external_id", "not supported"),
        ('require = ["start_tim"]', "require", "did you mean start_time"),
        ('defaults = { primary_langage = "en-US" }', "defaults", "did you mean primary_language"),
        ('defaults = { primary_language = "en" }', "defaults", "en-US"),
        ("defaults = { queue_id = 5 }", "defaults.queue_id", "text in quotes"),
        ("include = []", "include", "must not be empty"),
        ('include = "*.wav"', "include", "must be a list"),
        ('exclude = [""]', "exclude", "empty pattern"),
        ("backlog_limit = -1", "backlog_limit", "at least 0"),
        ('endpoint_url = "http://store.example.com"', "endpoint_url", "https://"),
        ('bucket = "s3://b"', "bucket", "without s3://"),
        ('sidecar = "maybe"', "sidecar", "one of"),
        ("enabled = 7", "enabled", "true or false"),
        ('patth = "/x"', "patth", "did you mean path"),
    ],
)
def test_a_mistake_in_a_source_is_named_by_the_source_and_its_key(problems, good, line, field, said):
    found = problems(good.replace('name = "hq"', f'name = "hq"\n{line}'))
    assert list(found) == [f"sources.hq.{field}"]
    assert said in found[f"sources.hq.{field}"]


@pytest.mark.parametrize("require", ['["agent"]', '["from", "to", "start_time", "agent_id"]'])
def test_require_takes_body_fields_and_agent(problems, good, require):
    assert problems(good.replace('name = "hq"', f'name = "hq"\nrequire = {require}')) == {}


@pytest.mark.parametrize(
    ("staging", "field"),
    [
        ("", "staging"),
        ('[staging]\ntype = "s3"', "staging.bucket"),
        ('[staging]\ntype = "builtin"', "staging.public_url"),
        ('[staging]\nbucket = "b"', "staging.type"),
        ('[staging]\ntype = "s3"\nbucket = "b"\nurl_ttl = "8d"', "staging.url_ttl"),
        ('[staging]\ntype = "s3"\nbucket = "b"\nspool = "/x"', "staging.spool"),
        ('[staging]\ntype = "s3"\nbucket = "b"\nspool_max = "1GiB"', "staging.spool_max"),
        ('[staging]\ntype = "s3"\nbucket = "b"\nrole_arn = "x"', "staging.role_arn"),
        ('[staging]\ntype = "builtin"\npublic_url = "http://example.com"', "staging.public_url"),
    ],
)
def test_staging_that_cannot_serve_a_folder_is_a_mistake(problems, good, staging, field):
    assert list(problems(good[: good.index("[staging]")] + staging)) == [field]


def test_builtin_staging_may_keep_urls_longer_than_s3(problems, good):
    staging = '[staging]\ntype = "builtin"\npublic_url = "http://localhost:9/q"\nurl_ttl = "30d"\n'
    assert problems(good[: good.index("[staging]")] + staging) == {}


def test_s3_sources_alone_need_no_staging(problems, good):
    text = good[: good.index("[[sources]]")] + '[[sources]]\nname = "x"\ntype = "s3"\nbucket = "b"\n'
    assert problems(text) == {}


def test_names_that_differ_in_capitals_only_are_the_same(problems, good):
    text = good.replace("[staging]", SOURCE.replace('"x"', '"HQ"') + "[staging]")
    assert list(problems(text)) == ["sources.HQ.name"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "[::1]", "s3.localhost"])
def test_plain_http_is_good_for_loopback(problems, good, host):
    assert problems(good.replace("[zoom]", f'[zoom]\napi_url = "http://{host}:8080/v2"')) == {}


@pytest.mark.parametrize("host", ["127.0.0.1.example.com", "localhost.example.com", "0.0.0.0", "10.0.0.1"])
def test_plain_http_is_refused_for_what_only_looks_like_loopback(problems, good, host):
    assert "zoom.api_url" in problems(good.replace("[zoom]", f'[zoom]\napi_url = "http://{host}/v2"'))


@pytest.mark.parametrize("duration", ['"0"', '"0s"', "0", '"1ms"'])
def test_no_duration_has_a_lower_bound_but_zero(problems, good, duration):
    text = good.replace('name = "hq"', f'name = "hq"\nsettle = {duration}\nrescan = {duration}')
    text += f"url_ttl = {duration}\n[zoom2]\n".replace("[zoom2]", f"[reconcile]\nwait = {duration}\n")
    assert problems(text) == {}


def test_every_mistake_is_reported_at_once_even_across_kinds(problems):
    found = problems(
        """
        [zoom]
        client_id = 4
        [retry]
        initial = "2h"
        attempts = 0
        [[sources]]
        name = "a b"
        type = "folder"
        [[sources]]
        name = "two"
        type = "s3"
        timezone = "x"
        [[sources]]
        type = "ftp"
        [staging]
        type = "builtin"
        listen = "x"
        """,
        environ={"QM_UPLOADER_LOG__LEVL": "x", "QM_UPLOADER_RUN__WORKERS": "many"},
        need_secrets=True,
    )
    assert set(found) == {
        "QM_UPLOADER_LOG__LEVL",
        "zoom.account_id",
        "zoom.client_id",
        "zoom.client_secret",
        "retry.attempts",
        "retry.initial",
        "run.workers",
        "sources[0].name",
        "sources[0].path",
        "sources.two.timezone",
        "sources.two.bucket",
        "sources[2].name",
        "sources[2].type",
        "staging.listen",
        "staging.public_url",
    }


@pytest.mark.parametrize("text", ["zoom = 3", "sources = 3", "staging = []", "sources = [3]", "zoom = { a = 1 }"])
def test_a_table_of_the_wrong_shape_is_a_mistake_and_no_crash(problems, text):
    assert problems(text, need_secrets=True)


def test_no_message_repeats_a_value(write):
    canary = "canary-5551234567"
    lines = [f'{key} = "{canary}"' for key in ("api_url", "request_timeout", "idempotency_key", "marker")]
    source = [f'{key} = "{canary}"' for key in ("path", "timezone", "phone_region", "settle", "watch", "profile")]
    text = "\n".join(
        [
            *("[zoom]", *lines, f'client_secret = ["{canary}"]'),
            *("[[sources]]", 'name = "hq"', 'type = "s3"', *source),
            *(f'require = ["{canary}"]', f'defaults = {{ direction = "{canary}" }}'),
        ]
    )
    with pytest.raises(ConfigurationError) as caught:
        load(write(text), environ={"QM_UPLOADER_LOG__LEVEL": canary}, need_secrets=True)
    everything = f"{caught.value}{caught.value.hint}{caught.value.problems}{caught.value.__cause__!r}"
    assert len(caught.value.problems) >= 14
    assert canary not in everything


def test_a_source_changed_on_the_command_line_is_judged_like_the_files():
    source = SourceSettings(name="hq", type="folder", path="/x", timezone="Europe/Berlin")
    changed = changed_source(source, {"timezone": "UTC", "settle": "5s"})
    assert (changed.timezone, changed.path, changed.settle) == ("UTC", "/x", timedelta(seconds=5))
    with pytest.raises(ConfigurationError) as caught:
        changed_source(source, {"timezone": "Mars/Base", "profile": 3})
    assert [p.field for p in caught.value.problems] == ["sources.hq.profile", "sources.hq.timezone"]
    with pytest.raises(ConfigurationError) as caught:
        changed_source(source, {"profile": "genesys"})
    assert [p.field for p in caught.value.problems] == ["sources.hq.profile"]
