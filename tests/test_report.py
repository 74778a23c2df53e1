"""The report: self-contained, honest about what is missing, safe with any name."""

from html.parser import HTMLParser

import pandas as pd
import pytest

from toolkit.coverage import Coverage, coverage
from toolkit.errors import SettingsError
from toolkit.report import report_html

FACTS = {
    "tenant": "example.eu.auth0.com",
    "taken_at": "2026-11-20T15:02:11+01:00",
    "users": 6,
    "complete": True,
    "method": "search",
    "windows": 61,
    "requests": 1,
    "seconds": 3.94,
    "sandbox": True,
    "toolkit_version": "0.1.0",
}
HOSTILE = ["<script>alert(1)</script>", '=HYPERLINK("http://x.example")', "\u202egnp", "y" * 10_000]
FRAME = pd.DataFrame(
    {
        "source": ["social", "unresolved", "initials", "placeholder", "missing", "metadata"],
        "connection": [*HOSTILE, "pw", None],
        "provider": ["google-oauth2", None, None, "facebook", None, None],
        "created_at": ["2024-03-01", "2024-04-01", None, "2025-01-01", "2025-02-01", "2025-03-01"],
        "last_login": ["2026-11-01", None, "2020-01-01", "2026-09-01", "2026-01-01", None],
    }
)
COVERAGES = {
    by: coverage(FRAME, by, as_of=pd.Timestamp("2026-11-22"))
    for by in ("source", "connection", "provider", "cohort", "activity")
}
VOID = {"meta", "use"}


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
def html():
    return report_html(COVERAGES, FACTS)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_the_page_is_well_formed_and_says_its_language(html, page):
    assert html.startswith("<!doctype html>")
    assert page.all("html") == [{"lang": "en"}]
    assert page.open == []
    assert page.unbalanced == []


def test_nothing_runs_and_nothing_is_loaded(html, page):
    policy = page.all("meta")[1]
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert not page.all("script")
    assert not page.all("link")
    assert "@import" not in html
    for _, attrs in page.tags:
        assert not [name for name in attrs if name.startswith("on")]
        for name in ("src", "href", "xlink:href"):
            assert attrs.get(name, "#").startswith(("#", "data:"))


def test_headings_are_in_order_and_tables_are_told(page):
    levels = [int(tag[1]) for tag, _ in page.tags if tag in {"h1", "h2", "h3"}]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert set(levels[1:]) == {2}
    assert len(page.all("caption")) == len(page.all("table")) == 5
    assert all(attrs.get("scope") in {"row", "col"} for attrs in page.all("th"))


def test_a_complete_snapshot_says_how_it_was_read(page):
    assert (
        "complete: 6 read, 6 counted, by search, reconciled over 61 windows, 1 request, 3.9 s"
        in page.text
    )
    assert "taken 2026-11-20 14:02 UTC" in page.text
    assert "made-up people" in page.text
    assert "Incomplete" not in page.text


@pytest.mark.parametrize("complete", [False, None, "yes"])
def test_an_incomplete_snapshot_says_so_before_anything_else(complete):
    page = Page(report_html(COVERAGES, FACTS | {"complete": complete, "users": 10}))
    body = page.text[page.text.index("Incomplete.") :]
    assert body.startswith("Incomplete. 4 of 10 users are not in these numbers.")
    assert "come from\n" in body
    assert [attrs for attrs in page.all("p") if attrs.get("class") == "alarm"]


def test_what_is_unresolved_is_neither_a_picture_nor_none(page):
    assert "33 % at least" in page.text
    assert "2 people; up to 3 (50 %) if each unresolved Gravatar exists" in page.text
    for words in ("own picture 33 %", "unresolved 17 %", "initials 17 %", "none 17 %"):
        assert words in page.text


def test_every_source_found_has_its_meaning_and_the_others_are_named(page):
    assert "Auth0's letters on a coloured square" in page.text
    assert "Not found: enterprise, gravatar, custom, invalid." in page.text


def test_hostile_names_are_plain_text(page):
    assert "<script>alert(1)</script>" in page.text
    assert '=HYPERLINK("http://x.example")' in page.text
    assert "\\u202egnp" in page.text
    assert "\u202e" not in page.text
    assert "y" * 79 + "…" in page.text
    assert "y" * 100 not in page.text


def test_hostile_facts_are_plain_text():
    nasty = dict.fromkeys(FACTS, "</title><img src=x onerror=alert(1)>")
    page = Page(report_html(COVERAGES, nasty | {"seconds": 1.0, "complete": False}))
    assert not page.all("img")
    assert "</title><img src=x onerror=alert(1)>" in page.text


def test_charts_carry_their_words(page):
    charts = [attrs for attrs in page.all("svg") if attrs.get("role") == "img"]
    assert [attrs["aria-labelledby"] for attrs in charts] == [
        "chart-connection-title",
        "chart-provider-title",
        "chart-cohort-title",
    ]
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_the_source_alone_makes_a_page_without_facts():
    page = Page(report_html({"source": COVERAGES["source"]}, {}))
    assert "tenant not named" in page.text
    assert "Nothing proves that every user is in these numbers." in page.text
    assert page.unbalanced == []


def test_a_tenant_without_users_makes_a_page():
    nobody = {by: Coverage.empty(by) for by in COVERAGES}
    page = Page(report_html(nobody, FACTS | {"users": 0}))
    assert "There are no users, so there is nothing to show." in page.text
    assert page.unbalanced == []


def test_no_coverage_by_source_is_no_report():
    with pytest.raises(SettingsError, match="by source"):
        report_html({}, FACTS)


def test_the_same_snapshot_makes_the_same_page(html):
    assert report_html(COVERAGES, FACTS) == html
