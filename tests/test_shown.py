"""What stands in the header of a file is shown as text, wherever it is shown.

`tests/test_hostile.py` does the same with what people put into their profiles.
"""

import csv as reading
import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pyarrow.parquet as pq
import pytest

from tests.test_hostile import Page, assert_seen, read_panel
from toolkit.analysis.estimate import Estimate, Stratum
from toolkit.analysis.tenant_wiring import Setter, Wiring
from toolkit.change.journal import Header, open_journal
from toolkit.change.plan_file import VERSION, read_plan
from toolkit.change.prepare import plan
from toolkit.change.preview.gallery_data import gallery
from toolkit.change.run import Outcome
from toolkit.change.verify_plan import Verification
from toolkit.classification.frames import audit, profiles
from toolkit.classification.sources import Source
from toolkit.classification.user_profile import user
from toolkit.cli import main
from toolkit.errors import UnreadableInputError
from toolkit.panels.choose.admin_panel import choose_default_picture
from toolkit.panels.explorer.explorer_panel import explore
from toolkit.reporting.charts.month_charts import cohorts, own_by_month
from toolkit.reporting.charts.source_charts import by_group
from toolkit.reporting.html_report import report
from toolkit.snapshots.comparison import compare
from toolkit.snapshots.snapshot import Provenance, Snapshot, read_snapshot

NOW = datetime(2026, 11, 1, tzinfo=UTC)
NEW = "https://images.example.com/new.png"
# Names are cut to 80 characters: what could do harm stands within them.
PAYLOADS = {
    "markup": '<img src=x onerror=alert(1)>"><meta http-equiv=refresh content="0;url=//x.test">',
    "script": "</title></style></svg><script>alert(1)</script>{{7*7}}{0.__class__}%s${x}",
    "terminal": "\x1b[2J\x1b]8;;file:///etc/passwd\x1b\\\x9b31m\u202e\u200b[red]x[/][link=file:///x]y[/]",
    "mathematics": r"$\frac{$ $x^2$ $",
    "formula": "=HYPERLINK(1);=2\n=3\r\n# b\u2028../../../etc/passwd\0",
    "long": "x" * 100_000,
}


def hostile(payload):
    """Return a snapshot with a payload in each text of its header and its rows."""
    users = [
        {
            "user_id": f"{payload}|{n}",
            "email": payload,
            "name": payload,
            "picture": f"https://s.gravatar.com/avatar/{n:032x}?d=404" if n % 2 else payload,
            "created_at": "2026-01-01T00:00:00.000Z",
            "identities": [{"connection": payload, "provider": "auth0", "user_id": str(n)}],
            "user_metadata": {"picture": payload},
        }
        for n in range(6)
    ]
    setters = tuple(
        Setter(kind, payload, runs, runs, override, None, spares=True)
        for kind in ("action", "rule")
        for runs in (True, False)
        for override in (True, None)
    )
    provenance = Provenance(
        tenant=payload,
        taken_at=NOW,
        method=payload,
        complete=True,
        users=len(users),
        windows=1,
        requests=1,
        seconds=1.0,
        sandbox=False,
        toolkit_version=payload,
        notes=(payload, f"note {payload}"),
        wiring=Wiring(setters, actions=True, rules=True, as_of=NOW),
        probed_at=NOW,
        estimate=Estimate((Stratum(payload, Source.INITIALS, 3, 2, 1, 0),)),
    )
    return Snapshot(provenance, audit(profiles(map(user, users))))


@pytest.fixture(params=PAYLOADS, ids=str)
def payload(request):
    return PAYLOADS[request.param]


@pytest.fixture
def snapshot(payload, tmp_path, no_credentials):
    hostile(payload).write(tmp_path / "s.parquet")
    return read_snapshot(tmp_path / "s.parquet")


def test_a_report_shows_a_header_as_text(snapshot, tmp_path):
    report(snapshot, tmp_path / "r.html", personal=True)
    html = (tmp_path / "r.html").read_text("utf-8")
    Page(html)
    assert_seen(html)
    assert html.count("<meta") == 4
    twin = (tmp_path / "r.json").read_text("utf-8")
    assert twin.isascii()
    assert max(map(len, (html, twin))) < 1_000_000


def test_values_show_a_header_as_text(snapshot, payload):
    findings, comparison = snapshot.findings(), compare(snapshot, snapshot)
    outcome = Outcome(
        kind="apply",
        way="root",
        tenant=payload,
        executed=True,
        planned=2,
        done=1,
        refused=1,
        reasons=(("refused", payload, 1),),
        stopped=payload,
        notes=(payload,),
    )
    checked = Verification("root", payload, 1, 1, 1, lines=(payload,))
    values = [snapshot, findings, comparison, outcome, checked, snapshot.provenance.wiring]
    values += [snapshot.coverage(by) for by in ("source", "connection", "provider", "cohort")]
    for value in values:
        assert_seen(repr(value))
        if hasattr(value, "_repr_html_"):
            html = value._repr_html_()
            Page(html)
            assert_seen(html)


def test_charts_draw_a_header_as_text(snapshot):
    for draw, by in ((by_group, "connection"), (cohorts, "cohort"), (own_by_month, "cohort")):
        chart = draw(snapshot.coverage(by))
        ET.fromstring(chart.svg())
        Page(chart.inline_svg("x"))
        assert_seen(chart.alt)


def test_a_terminal_shows_a_header_as_text(snapshot, monkeypatch, capsys):
    for form in ("table", "json", "csv"):
        for command in (
            ["coverage", snapshot.path, "--by", "connection"],
            ["findings", snapshot.path],
            ["compare", snapshot.path, snapshot.path],
        ):
            arguments = ["picture-audit", *map(str, command), "--format", form]
            monkeypatch.setattr(sys, "argv", arguments)
            with pytest.raises(SystemExit) as end:
                main()
            assert end.value.code == 0
            out, err = capsys.readouterr()
            assert_seen(err)
            if form == "csv":
                for delimiter in ",;\t":
                    rows = reading.reader(out.splitlines(keepends=True), delimiter=delimiter)
                    assert not [one for row in rows for one in row if one[:1] in {"=", "@", "+"}]
            else:
                assert_seen(out)
            if form == "json":
                json.loads(out)


def test_panels_show_a_header_as_text(snapshot, tmp_path):
    explorer = explore(snapshot, tmp_path)
    try:
        read_panel(explorer)
    finally:
        explorer.close()
    panel = choose_default_picture(snapshot, folder=tmp_path)
    try:
        read_panel(panel)
    finally:
        panel.close()


def test_a_plan_shows_its_header_as_text(snapshot, payload, tmp_path):
    for way in ("root", "rule", "action"):
        # What is signed counts as text in a policy, and everything else of it is checked.
        made = plan(snapshot, NEW, through=way, out=tmp_path / f"{way}.plan")
        odd = replace(made, id="0" * 16, notes=(payload,), verdicts=((payload, "ok", payload),))
        for one in (made, odd):
            assert_seen(repr(one))
            Page(one._repr_html_())
            assert_seen(one._repr_html_())
        shown = gallery(snapshot, made)
        assert_seen(repr(shown))
        Page(shown._repr_html_())


def test_an_error_shows_a_header_as_text(payload, tmp_path, monkeypatch, capsys, no_credentials):
    path = tmp_path / "s.parquet"
    whole = hostile(payload)
    Snapshot(replace(whole.provenance, sandbox=True, tenant="127.0.0.1:1"), whole.users).write(path)
    with open_journal(tmp_path / "p.plan.journal", Header(payload, payload, "root"), write=True):
        pass
    for command in (["probe", path, "--all"], ["undo", tmp_path / "p.plan.journal"]):
        monkeypatch.setattr(sys, "argv", ["picture-audit", *map(str, command)])
        with pytest.raises(SystemExit):
            main()
        assert_seen(capsys.readouterr().err)


def rewrite(path, **changes):
    """Put other values into a plan's header, as anybody can."""
    table = pq.read_table(path)
    values = json.loads(pq.read_metadata(path).metadata[b"plan"])
    with pq.ParquetWriter(path, table.schema, store_schema=False) as file:
        file.write_table(table)
        header = {"plan_version": str(VERSION), "plan": json.dumps(values | changes)}
        file.add_key_value_metadata(header)


@pytest.mark.parametrize(
    ("way", "changes"),
    [
        ("action", {"code": "exports.onExecutePostLogin = async () => { evil() }"}),
        ("action", {"code": None}),
        ("rule", {"rules": ["function (user, context, callback) { evil() }"]}),
        ("rule", {"rules": []}),
        ("root", {"code": "evil()"}),
        ("root", {"rules": ["evil()"]}),
    ],
)
def test_a_plan_holds_no_code_but_what_its_policy_makes(tmp_path, way, changes):
    path = tmp_path / "p.plan"
    plan(hostile("a"), NEW, through=way, out=path)
    rewrite(path)
    assert read_plan(path).way == way
    rewrite(path, **changes)
    with pytest.raises(UnreadableInputError, match="other code"):
        read_plan(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "../../etc/passwd"},
        {"id": "a\r\nX-Evil: 1"},
        {"id": ""},
        {"id": 1},
        {"tenant": None},
        {"tenant": "\ud800"},
        {"sandbox": "yes"},
        {"made_at": "2026-01-01T00:00:00"},
        {"made_at": "12000-01-01T00:00:00+00:00"},
        {"irreversible": 1},
        {"connections_read": None},
        {"verdicts": [[1, 2, 3]]},
        {"rules": "ab"},
        {"notes": [1]},
        {"rate": float("nan")},
        {"toolkit_version": 1},
        {"tally": {"reasons": [], "connections": {}, "sources": {}, "ways": {"root": 10**18}}},
        {"policy": {"picture": NEW}},
    ],
)
def test_a_plans_header_that_cannot_be_true_is_not_read(tmp_path, changes):
    path = tmp_path / "p.plan"
    plan(hostile("a"), NEW, through="root", out=path)
    rewrite(path, **changes)
    with pytest.raises(UnreadableInputError, match="not a plan"):
        read_plan(path)
