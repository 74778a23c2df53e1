"""The report: self-contained, honest about what is missing, safe with any name."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pandas as pd
import pytest

from toolkit.analysis.estimate import Estimate, Stratum
from toolkit.analysis.tenant_wiring import Setter, Wiring
from toolkit.classification.frames import audit, profiles
from toolkit.classification.sources import Source
from toolkit.classification.user_profile import user
from toolkit.errors import OutputError, SettingsError
from toolkit.reporting.html_report import report
from toolkit.reporting.html_report.report_page import LISTED, LISTED_IN_TWIN, content, page, twin
from toolkit.sandbox.made_up.tenants import people
from toolkit.snapshots.snapshot import Provenance, Snapshot

NOW = datetime(2026, 11, 20, 14, 2, tzinfo=UTC)
FACTS = Provenance("example.eu.auth0.com", NOW, "search", True, 400, 61, 1, 3.94, True, "0.1.0")
RULE = Setter("rule", "Old <b>pictures</b>", True, False, True, False, False)
UNWIRED = Wiring((RULE,), actions=True, rules=True, as_of=NOW)
HOSTILE = ["<script>alert(1)</script>", '=HYPERLINK("http://x.example")', "\u202egnp", "y" * 10_000]
VOID = {"meta", "use", "br"}
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def frame():
    frame = audit(profiles(user(person.record) for person in people(400)))
    names = frame["connection"].astype(object)
    names.iloc[: len(HOSTILE)] = HOSTILE
    return frame.assign(connection=names.astype("str"))


@pytest.fixture(scope="module")
def snapshot(frame):
    return Snapshot(replace(FACTS, wiring=UNWIRED), frame)


@pytest.fixture(scope="module")
def told(snapshot):
    return content(snapshot)


@pytest.fixture(scope="module")
def sampled(snapshot, told):
    users = told.whole.sources[Source.UNRESOLVED]
    estimate = Estimate((Stratum("db", Source.INITIALS, users, 100, 30, 2),))
    facts = replace(snapshot.provenance, estimate=estimate, probed_at=NOW)
    return content(Snapshot(facts, snapshot.users))


class Page(HTMLParser):
    """What a browser would make of a page: its tags, and its text outside styles."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.open, self.text, self.unbalanced = [], [], "", []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def html(told):
    return page(told, twin="report.json")


@pytest.fixture(scope="module")
def read(html):
    return Page(html)


def test_the_page_is_well_formed_and_says_its_language(html, read):
    assert html.startswith("<!doctype html>")
    assert read.all("html") == [{"lang": "en"}]
    assert read.open == []
    assert read.unbalanced == []


def test_nothing_runs_and_nothing_is_loaded(html, read):
    policy = read.all("meta")[1]
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert not read.all("script")
    assert not read.all("link")
    assert "@import" not in html
    for _, attrs in read.tags:
        assert not [name for name in attrs if name.startswith("on")]
        for name in ("src", "href", "xlink:href"):
            assert attrs.get(name, "#").startswith(("#", "data:"))


def test_headings_are_in_order_and_tables_are_told(read):
    levels = [int(tag[1]) for tag, _ in read.tags if tag in {"h1", "h2", "h3"}]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert set(levels[1:]) == {2}
    assert len(read.all("caption")) == len(read.all("table")) == 6
    assert all(attrs.get("scope") in {"row", "col"} for attrs in read.all("th"))
    for landmark in ("header", "main", "footer"):
        assert len(read.all(landmark)) == 1


def test_what_scrolls_can_be_reached_by_keyboard_and_has_a_name(read):
    scrolls = [a for a in read.all("div") if a.get("class") in {"scroll", "card figure"}]
    assert len(scrolls) == 9
    assert all(a["tabindex"] == "0" and a["role"] == "region" for a in scrolls)
    assert len({a["aria-label"] for a in scrolls}) == len(scrolls)


def test_charts_carry_their_words_and_share_no_identifier(read):
    charts = [attrs for attrs in read.all("svg") if attrs.get("role") == "img"]
    assert [attrs["aria-labelledby"] for attrs in charts] == [
        "chart-connection-title",
        "chart-own-title",
        "chart-cohort-title",
    ]
    ids = [attrs["id"] for _, attrs in read.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def contrast(first, second):
    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_letters_stand_out_in_light_and_in_dark(html):
    themes = re.findall(r":root \{(.*?)\}", html, re.DOTALL)
    assert len(themes) == 3
    for theme in themes:
        colours = dict(re.findall(r"--([\w-]+): (#\w{6})", theme))
        for ink in ("ink", "muted", "good", "bad", "warn"):
            for ground in ("page", "card"):
                assert contrast(colours[ink], colours[ground]) >= 4.5


def test_a_complete_snapshot_says_how_it_was_read(read):
    assert "complete: 400 read, by search, reconciled over 61 windows, 1 request" in read.text
    assert "taken 2026-11-20 14:02 UTC" in read.text
    assert "made-up people" in read.text
    assert "Incomplete" not in read.text


def test_an_incomplete_snapshot_says_so_before_anything_else(told):
    read = Page(page(replace(told, provenance=replace(FACTS, complete=False))))
    assert read.text[read.text.index("Incomplete.") :].startswith("Incomplete. Nothing proves")
    assert read.text.index("Incomplete.") < read.text.rindex("Where your users' pictures")
    assert "The snapshot is not complete" in read.text


def test_files_that_were_read_were_not_reconciled(told):
    read = Page(page(replace(told, provenance=replace(FACTS, method="ingest"))))
    assert "reconciled" not in read.text
    assert "not compared with what the tenant counts" in read.text


def test_groups_that_were_not_exported_are_said_on_the_page_and_in_its_twin(snapshot):
    absent = ("connection", "created_at", "last_login", "metadata_picture")
    lacking = content(Snapshot(replace(snapshot.provenance, absent=absent), snapshot.users))
    text, notes = page(lacking), twin(lacking)["provenance"]["notes"]
    for name in ("connection", "created_at", "last_login", "user_metadata.picture"):
        sentence = f"The users were exported without {name}: "
        assert sentence in text
        assert [note for note in notes if note.startswith(sentence)]
    assert "The users were exported without" not in page(content(snapshot))


def test_the_answer_is_a_range_where_nobody_has_asked(told, read):
    own, total = told.whole.own, told.whole.users
    assert (
        f"at least {100 * own.low / total:.0f} %, up to {100 * own.high / total:.0f} %" in read.text
    )
    assert f"{own.low:,} of {total:,} people" in read.text
    assert "Nobody has asked Gravatar, so it is counted as unknown" in read.text


def test_with_a_sample_the_answer_has_its_interval(sampled):
    read = Page(page(sampled))
    assert re.search(r"\d+ % ± \d+\.\d", read.text)
    assert "a sample of 100 probed Gravatars" in read.text
    assert "asked on 2026-11-20 14:02 UTC for 100 of" in read.text
    assert "2 answers were not clear" in read.text
    gravatars = sampled.whole.estimated[Source.GRAVATAR]
    assert f"{round(gravatars.middle):,} ± " in read.text


def test_where_everything_is_known_the_answer_is_a_number(frame):
    known = frame.assign(
        source=frame["source"].replace("unresolved", "gravatar"),
        underlying=frame["underlying"].replace("unresolved", "gravatar"),
        content="photo",
    )
    told = content(Snapshot(replace(FACTS, wiring=UNWIRED, probed_at=NOW), known))
    cards = Page(page(told)).text.split("what people see")[0]
    assert "at least" not in cards
    assert "±" not in cards
    assert f"{told.whole.own.low:,} of 400 people" in cards
    assert "asked for every hash, last on 2026-11-20" in Page(page(told)).text


def test_the_largest_problem_is_one_sentence(read):
    assert re.search(r"1 in \d+ social pictures shows as a broken image\.", read.text)
    assert re.search(r"\d+ broken", read.text)


def test_findings_say_what_to_do_and_name_nobody(told, read, snapshot):
    assert "What to do about it" in read.text
    for one in told.findings:
        assert one.title in read.text
        assert one.id in read.text
    assert "No personal data in this page." in read.text
    for name in snapshot.users["user_id"]:
        assert name not in read.text


def test_people_are_named_where_that_is_asked_for(told):
    read = Page(page(told, personal=True))
    assert told.findings.found[0].examples[0] in read.text
    assert "No personal data" not in read.text
    with_names = json.dumps(twin(told, personal=True))
    assert told.findings.found[0].examples[0] in with_names
    assert told.findings.found[0].examples[0] not in json.dumps(twin(told))


def test_it_says_whether_overrides_reach_people_and_what_stopped(read, told):
    assert "No: nothing puts user_metadata.picture into the ID token." in read.text
    assert "by Auth0's schedule Rules ended on 2026-11-18" in read.text
    assert "Old <b>pictures</b>" in read.text
    assert "nothing shows these" in read.text
    running = replace(RULE, kind="action", runs=True)
    for wiring, words in (
        (None, "Nobody has looked."),
        (replace(UNWIRED, setters=(running,)), "Yes: something puts user_metadata.picture"),
        (replace(UNWIRED, setters=(), actions=False), "Not known of user_metadata.picture"),
    ):
        text = Page(page(replace(told, provenance=replace(FACTS, wiring=wiring)))).text
        assert words in text
        assert "nothing shows these" not in text


def test_hostile_names_are_plain_text(read):
    assert "<script>alert(1)</script>" in read.text
    assert '=HYPERLINK("http://x.example")' in read.text
    assert "\\u202egnp" in read.text
    assert "\u202e" not in read.text
    assert "y" * 79 + "…" in read.text
    assert "y" * 100 not in read.text


def test_hostile_facts_are_plain_text(told):
    nasty = "</title><img src=x onerror=alert(1)>"
    facts = replace(FACTS, tenant=nasty, method=nasty, toolkit_version=nasty, notes=(nasty,) * 50)
    read = Page(page(replace(told, provenance=facts), twin=nasty))
    assert not read.all("img")
    assert nasty in read.text
    assert "30 more notes" in read.text


def test_a_tenant_without_users_makes_a_page(snapshot):
    told = content(Snapshot(replace(FACTS, users=0), snapshot.users[:0]))
    read = Page(page(told))
    assert "There are no users, so there is nothing to show." in read.text
    assert read.unbalanced == []
    assert json.dumps(twin(told))


def test_the_same_snapshot_makes_the_same_page(html, told):
    assert page(told, twin="report.json") == html


def test_the_twin_holds_the_same_numbers(sampled):
    values = json.loads(json.dumps(twin(sampled)))
    whole = sampled.whole
    assert list(values["sources"]) != []
    assert values["sources"]["social"]["users"] == whole.sources[Source.SOCIAL]
    assert values["own"]["middle"] == whole.own.middle
    assert sum(values["seen"].values()) == values["users"] == 400
    assert values["estimated"]["gravatar"]["low"] == whole.estimated[Source.GRAVATAR].low
    assert values["provenance"]["estimate"]["asked"] == 100
    assert values["provenance"]["wiring"]["override"] is False
    for by in ("connection", "cohort", "activity"):
        assert sum(row["users"] for row in values["groups"][by]["groups"]) == 400
    assert [one["id"] for one in values["findings"]["findings"]] == [
        one.id for one in sampled.findings
    ]


def test_page_and_twin_are_written_side_by_side_for_their_owner_only(tmp_path, snapshot):
    written = report(snapshot, tmp_path / "new" / "r.html")
    assert f'href="{tmp_path.as_posix()}/new/r.html"' in written._repr_html_()
    assert written.twin == tmp_path / "new" / "r.json"
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["r.html", "r.json"]
    assert "r.json" in (tmp_path / "new" / "r.html").read_text("utf-8")
    assert json.loads((tmp_path / "new" / "r.json").read_text("utf-8"))["users"] == 400
    assert (tmp_path / "new" / "r.json").stat().st_mode & 0o077 == 0


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path, snapshot):
    with pytest.raises(SettingsError, match=r"name a \.html file"):
        report(snapshot, tmp_path / "r.json")
    (tmp_path / "r.json").mkdir()
    with pytest.raises(OutputError):
        report(snapshot, tmp_path / "r.html")
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_it_stays_below_a_megabyte_whatever_the_tenant(tmp_path, frame):
    many = pd.concat([frame] * 5, ignore_index=True)
    # The worst that escaping can do to names.
    names = [f"{number}" + "\u202e&" * 200 for number in range(len(many))]
    months = [f"{1900 + n % 140}-{1 + n % 12:02d}-01T00:00:00Z" for n in range(len(many))]
    many = many.assign(
        connection=pd.Series(names, dtype="str"),
        created_at=pd.to_datetime(months, utc=True).astype(many["created_at"].dtype),
    )
    scripts = tuple(replace(RULE, name=f"{n}" + "\u202e<" * 999) for n in range(500))
    strata = tuple(Stratum(name, Source.INITIALS, 1, 1, 0) for name in names)
    facts = replace(
        FACTS,
        users=len(many),
        wiring=replace(UNWIRED, setters=scripts),
        estimate=Estimate(strata),
        notes=("n" * 9999,) * 999,
    )
    report(Snapshot(facts, many), tmp_path / "r.html")
    html = (tmp_path / "r.html").read_text("utf-8")
    assert len(html.encode()) < MEGABYTE
    assert (tmp_path / "r.json").stat().st_size < MEGABYTE
    assert f"The {LISTED} largest of 2,000." in html
    assert "picture-audit coverage SNAPSHOT --by connection --format csv" in html
    values = json.loads((tmp_path / "r.json").read_text("utf-8"))
    groups = values["groups"]["connection"]
    assert len(groups["groups"]) == LISTED_IN_TWIN
    assert groups["others"]["number"] == 2000 - LISTED_IN_TWIN
    assert sum(row["users"] for row in groups["groups"]) + groups["others"]["users"] == 2000


def test_a_report_takes_the_place_of_nobodys_data(snapshot, tmp_path):
    export = tmp_path / "users.json"
    export.write_text('{"user_id": "auth0|1"}')
    with pytest.raises(OutputError, match="no report's twin"):
        report(snapshot, tmp_path / "users.html")
    assert export.read_text() == '{"user_id": "auth0|1"}'
    kept = tmp_path / "s.parquet"
    snapshot.write(kept)
    before = kept.read_bytes()
    with pytest.raises(OutputError, match="the snapshot itself"):
        report(Snapshot(snapshot.provenance, path=kept), kept)
    assert kept.read_bytes() == before
    report(snapshot, tmp_path / "again.html")
    report(snapshot, tmp_path / "again.html")  # its own twin may be replaced
