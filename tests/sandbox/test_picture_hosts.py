"""Who is asked about the pictures of a snapshot, whatever the snapshot says of itself."""

import json
import sys
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow.parquet as pq
import pytest

from tests.conftest import settings_of
from toolkit.change.prepare import looked_at
from toolkit.classification.frames import audit, profiles
from toolkit.classification.user_profile import user
from toolkit.cli import main
from toolkit.collection.collect_users import collect
from toolkit.errors import SettingsError, UnreadableInputError
from toolkit.panels.explorer.user_table import Thumbnails
from toolkit.probing.snapshot_probe import probe, reach
from toolkit.sandbox.picture_hosts import hosts_of
from toolkit.sandbox.played_hosts import SIGN
from toolkit.sandbox.server import Sandbox
from toolkit.snapshots.snapshot import Provenance, Snapshot, read_snapshot
from toolkit.tenant.client import connect

USERS = [
    {"user_id": f"auth0|{n}", "picture": f"https://s.gravatar.com/avatar/{n:032x}?s=480&d=404"}
    for n in range(12)
]
NOW = datetime(2026, 11, 1, tzinfo=UTC)


class Service(ThreadingHTTPServer):
    """Any other service of this machine: answers everything with the same, and keeps the asks."""

    def __init__(self, body: bytes = b"a secret page") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.body, self.asked = body, []


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    do_HEAD = do_POST = do_PATCH = do_GET  # noqa: N815 - named by http.server

    def log_message(self, *_):
        pass


@contextmanager
def service(body: bytes = b"a secret page"):
    with Service(body) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def other(no_credentials):
    with service() as server:
        yield server


def provenance(tenant, **changes):
    values = {"sandbox": True, "seed": None, "users": len(USERS)} | changes
    return Provenance(
        tenant=tenant,
        taken_at=NOW,
        method="search",
        complete=True,
        windows=1,
        requests=1,
        seconds=1.0,
        toolkit_version="0",
        **values,
    )


def snapshot(tenant, **changes):
    return Snapshot(provenance(tenant, **changes), audit(profiles(map(user, USERS))))


def place(server):
    return f"127.0.0.1:{server.server_port}"


def test_a_service_that_a_file_calls_a_sandbox_is_sent_nothing(other, tmp_path):
    claimed = snapshot(place(other))
    with pytest.raises(SettingsError, match="AUTH0_DOMAIN"):
        probe(claimed)
    with pytest.raises(SettingsError, match="AUTH0_DOMAIN"):
        reach(claimed, insecure=True)
    assert looked_at("https://images.example.com/new.png", claimed.provenance) is None
    failures, failed = [], threading.Event()

    def fail(error):
        failures.append(error)
        failed.set()

    thumbnails = Thumbnails(claimed.provenance, lambda _: None, fail)
    thumbnails.ask([USERS[0]["picture"]])
    assert failed.wait(10)
    thumbnails.stop()
    assert "AUTH0_DOMAIN" in str(failures[0])
    assert other.asked == []


@pytest.mark.parametrize("command", ["probe", "plan"])
def test_no_command_sends_anything_to_where_a_file_says(
    other, tmp_path, monkeypatch, capsys, command
):
    path = tmp_path / "s.parquet"
    snapshot(place(other)).write(path)
    arguments = {
        "probe": ["--all"],
        "plan": [
            "--picture",
            f"http://{place(other)}/new.png",
            "--through",
            "root",
            "--out",
            str(tmp_path / "p.plan"),
        ],
    }[command]
    monkeypatch.setattr(sys, "argv", ["picture-audit", command, str(path), *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    assert other.asked == [], capsys.readouterr().err
    assert command == "plan" or end.value.code == 2


def test_made_up_people_of_a_known_seed_are_made_up_again_and_nobody_else_is_asked(other):
    with hosts_of(provenance(place(other), seed=1)) as hosts:
        assert hosts.sandbox not in (None, f"http://{place(other)}")
        assert hosts.gravatar == hosts.sandbox
    assert other.asked == []


def test_a_file_that_claims_any_number_of_people_makes_up_none(other):
    with pytest.raises(SettingsError), hosts_of(provenance(place(other), seed=1, users=10**18)):
        pytest.fail("so many people were made up")


def test_a_sandbox_that_the_environment_names_is_asked(no_credentials, monkeypatch):
    with Sandbox(USERS) as sandbox:
        monkeypatch.setattr(
            "toolkit.sandbox.picture_hosts.sandbox_at", lambda _: None
        )  # as if of another process
        with pytest.raises(SettingsError), hosts_of(provenance(sandbox.domain)):
            pytest.fail("nobody had named it")
        monkeypatch.setenv("AUTH0_DOMAIN", sandbox.base_url)
        with hosts_of(provenance(sandbox.domain)) as hosts:
            assert hosts.sandbox == sandbox.base_url
        with pytest.raises(SettingsError), hosts_of(provenance("127.0.0.1:1")):
            pytest.fail("another address was named")


@pytest.mark.parametrize(
    "body", [b"404 Not Found", SIGN.encode() + b"!" * 10_000, SIGN[:-1].encode(), b""]
)
def test_a_service_that_took_the_port_of_a_named_sandbox_is_told_apart(
    no_credentials, monkeypatch, body
):
    with service(body) as server:
        monkeypatch.setenv("AUTH0_DOMAIN", f"http://{place(server)}")
        with pytest.raises(SettingsError), hosts_of(provenance(place(server))):
            pytest.fail("it was taken for a sandbox")
        assert server.asked == ["/hosts"]  # and nothing of the snapshot


def test_a_real_tenant_that_the_environment_names_is_no_sandbox(no_credentials, monkeypatch):
    monkeypatch.setenv("AUTH0_DOMAIN", "tenant.example")
    with pytest.raises(SettingsError), hosts_of(provenance("tenant.example")):
        pytest.fail("it was taken for a sandbox")


@pytest.mark.parametrize(
    "tenant",
    [
        "evil.example",
        "evil.example:80",
        "169.254.169.254",
        "10.0.0.1:8080",
        "127.0.0.1.evil.example",
        "localhost.evil.example:80",
        "127.0.0.1:80@evil.example",
        "evil.example/127.0.0.1:80",
        "127.0.0.1:0000000000000000000000000080x",
        "127.0.0.1:65536",
        "[::1%eth0]:80",
        "[::2]:80",
        "",
    ],
)
def test_a_file_that_calls_any_other_host_a_sandbox_is_not_read(tmp_path, tenant):
    path = tmp_path / "s.parquet"
    snapshot(tenant).write(path)
    with pytest.raises(UnreadableInputError):
        read_snapshot(path)


@pytest.mark.parametrize("tenant", ["127.0.0.1:80", "localhost:65535", "[::1]:80", "127.0.0.1"])
def test_a_sandbox_is_on_this_machine(tmp_path, tenant):
    path = tmp_path / "s.parquet"
    snapshot(tenant).write(path)
    assert read_snapshot(path).provenance.tenant == tenant


def test_a_sandbox_that_stopped_is_not_known_any_more(no_credentials):
    with Sandbox(USERS) as sandbox, hosts_of(provenance(sandbox.domain)) as hosts:
        assert hosts.sandbox == sandbox.base_url
    with Sandbox(USERS, port=int(sandbox.domain.rpartition(":")[2])) as second:
        sandbox.stop()  # once more: the one that has its port now stays known
        with hosts_of(provenance(second.domain)) as hosts:
            assert hosts.sandbox == second.base_url
    with pytest.raises(SettingsError), hosts_of(provenance(second.domain)):
        pytest.fail("it does not run")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("users", 10**18),
        ("users", len(USERS) + 1),
        ("users", -1),
        ("users", True),
        ("users", "12"),
        ("users", 12.0),
        ("requests", -1),
        ("requests", 2**63),
        ("windows", None),
        ("seconds", float("nan")),
        ("seconds", float("inf")),
        ("seconds", -0.1),
        ("seconds", True),
        ("taken_at", "12000-01-01T00:00:00+00:00"),
        ("taken_at", "9999-12-31T23:59:59+00:00"),
        ("taken_at", "2026-01-01T00:00:00"),
        ("taken_at", 0),
        ("probed_at", "1969-12-31T00:00:00+00:00"),
        ("complete", 1),
        ("sandbox", "false"),
        ("seed", "1"),
        ("seed", -1),
        ("seed", True),
        ("redacted", 1),
        ("tenant", None),
        ("tenant", "half a pair \ud800"),
        ("method", ["search"]),
        ("toolkit_version", 1),
        ("notes", "a note"),
        ("notes", [1]),
        ("notes", [["a"]]),
        ("wiring", []),
        ("wiring", {"setters": [], "actions": True, "rules": True, "as_of": "2026-01-01"}),
        ("wiring", {"setters": [], "actions": 1, "rules": True, "as_of": NOW.isoformat()}),
        ("wiring", {"setters": {}, "actions": True, "rules": True, "as_of": NOW.isoformat()}),
        ("estimate", {"strata": [{"connection": None, "otherwise": "initials", "users": 1}]}),
        ("estimate", {"strata": 1}),
    ],
)
def test_a_header_that_cannot_be_true_is_not_read(tmp_path, name, value):
    path = tmp_path / "s.parquet"
    whole = snapshot("t.example", sandbox=False)
    whole.write(path)
    rewrite(path, json.dumps(whole.provenance.as_dict()))
    assert read_snapshot(path).provenance == whole.provenance
    rewrite(path, json.dumps(whole.provenance.as_dict() | {name: value}))
    with pytest.raises(UnreadableInputError, match="not a snapshot"):
        read_snapshot(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": '<meta http-equiv="refresh" content="0;url=//evil.example">'},
        {"kind": None},
        {"kind": ["action"]},
        {"name": 1},
        {"on": "yes"},
        {"runs": 1},
        {"override": "true"},
        {"default": 0},
        {"spares": None},
    ],
)
def test_a_script_of_no_known_kind_is_not_read(tmp_path, changes):
    path = tmp_path / "s.parquet"
    whole = snapshot("t.example", sandbox=False)
    whole.write(path)
    script = {
        "kind": "action",
        "name": "a",
        "on": True,
        "runs": True,
        "override": None,
        "default": None,
        "spares": False,
    }
    wiring = {"actions": True, "rules": True, "as_of": NOW.isoformat()}
    values = whole.provenance.as_dict()
    rewrite(path, json.dumps(values | {"wiring": wiring | {"setters": [script]}}))
    assert read_snapshot(path).provenance.wiring.override is None
    rewrite(path, json.dumps(values | {"wiring": wiring | {"setters": [script | changes]}}))
    with pytest.raises(UnreadableInputError, match="not a snapshot"):
        read_snapshot(path)


@pytest.mark.parametrize(
    "changes", [{"asked": 3}, {"present": 2}, {"unclear": 1}, {"users": -1}, {"asked": 0.5}]
)
def test_an_estimate_that_cannot_be_is_not_read(tmp_path, changes):
    path = tmp_path / "s.parquet"
    whole = snapshot("t.example", sandbox=False)
    whole.write(path)
    stratum = {"connection": "c", "otherwise": "initials"}
    stratum |= {"users": 2, "asked": 1, "present": 1, "unclear": 0}
    values = whole.provenance.as_dict()
    rewrite(path, json.dumps(values | {"estimate": {"strata": [stratum]}}))
    assert read_snapshot(path).provenance.estimate.users == 2
    rewrite(path, json.dumps(values | {"estimate": {"strata": [stratum | changes]}}))
    with pytest.raises(UnreadableInputError, match="not a snapshot"):
        read_snapshot(path)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000 + "]" * 200_000,
        '{"a":' * 200_000 + "1" + "}" * 200_000,
        '{"notes": [' + "[]," * (2**23) + "[]]}",
        '{"users": ' + "9" * 5_000 + "}",
        "null",
        "[]",
        "",
        "\ufeff{}",
    ],
    ids=["lists", "objects", "large", "digits", "null", "list", "empty", "mark"],
)
def test_a_header_that_is_a_bomb_is_not_read(tmp_path, text):
    path = tmp_path / "s.parquet"
    snapshot("t.example", sandbox=False).write(path)
    rewrite(path, text)
    with pytest.raises(UnreadableInputError, match="not a snapshot"):
        read_snapshot(path)


def rewrite(path, header):
    """Put another header into a snapshot, as anybody can."""
    table = pq.read_table(path)
    with pq.ParquetWriter(path, table.schema, store_schema=False) as file:
        file.write_table(table)
        file.add_key_value_metadata({"schema_version": "1", "provenance": header})


def test_what_is_collected_can_be_read_again(no_credentials, tmp_path):
    with Sandbox(USERS) as sandbox, connect(settings_of(sandbox)) as tenant:
        collected = collect(tenant, out=tmp_path / "s.parquet", method="search")
        assert read_snapshot(tmp_path / "s.parquet").provenance == collected.provenance
        assert read_snapshot(tmp_path / "s.parquet").provenance.sandbox
