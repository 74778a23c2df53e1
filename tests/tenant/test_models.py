"""Answers of the tenant as values, and which pictures Auth0 is known to take."""

from types import SimpleNamespace

import pytest

from toolkit.errors import TenantError
from toolkit.tenant.models import Action, Job, Page, takes_picture

TAKEN = [
    "https://images.example/me.png",
    "HTTPS://IMAGES.EXAMPLE",
    "http://x.example?size=1",
    "ftp://x.example/me.png",
    "https://user:word@x.example:8443/me.png#top",
    "https://127.0.0.1:54321/new.png",
    "https://[2001:db8::1]/me.png",
    "https://münchen.example/José.png",
    "https://xn--mnchen-3ya.example/me.png",
    "https://s.gravatar.com/avatar/00?s=480&r=pg&d=https%3A%2F%2Fcdn.auth0.com%2Favatars%2Fte.png",
    "https://x.example/" + "a" * (2082 - 18),
]
REFUSED = [
    "",
    " ",
    "my photo",
    "me.png",
    "/uploads/me.png",
    "../me.png",
    "?me",
    "//x.example/me.png",
    "www.example.com/me.png",
    "x.example",
    "https:",
    "https://",
    "https:///me.png",
    "https:/x.example/me.png",
    "https:x.example/me.png",
    "https://localhost/me.png",
    "https://images/me.png",
    "https://-x.example/me.png",
    "https://x_y.example/me.png",
    "https://x..example/me.png",
    "https://x.example./me.png",
    "https://x.example:/me.png",
    "https://x.example:0/me.png",
    "https://x.example:65536/me.png",
    "https://300.1.1.1/me.png",
    "https://x.example/my photo.png",
    "https://x.example/<me>.png",
    "https://x.example/me.png\n",
    "\nhttps://x.example/me.png",
    "https://x.example/\x00",
    "https://x.example/\ufeff",
    "https://x.example/" + "a" * (2083 - 18),
    "data:image/png;base64,AA==",
    "mailto:me@x.example",
    "javascript:alert(1)",
    "urn:uuid:0",
    "file:///me.png",
    "ws://x.example/me.png",
    "cid:me@x.example",
    "null",
    '{"url": "https://x.example/me.png"}',
]


@pytest.mark.parametrize("text", TAKEN)
def test_an_absolute_web_address_is_taken(text):
    assert takes_picture(text)


@pytest.mark.parametrize("text", REFUSED)
def test_anything_else_counts_as_refused(text):
    assert not takes_picture(text)


def test_a_long_text_is_judged_at_once():
    assert not takes_picture("https://" + "a." * 500_000)
    assert not takes_picture("https://" + "a-" * 1000 + "!")


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        {"users": {}, "total": 0},
        {"users": [{}, {}, {}], "total": 3},
        {"users": [], "total": None},
        {"users": [], "total": "1"},
        {"users": [], "total": True},
        {"users": [], "total": -1},
        {"users": [], "total": 0.5},
        {"users": [], "total": float("nan")},
        {"users": [], "total": float("inf")},
    ],
)
def test_an_answer_that_is_no_page_of_users_is_an_error(answer):
    with pytest.raises(TenantError, match="not a page of users: check AUTH0_DOMAIN"):
        Page.of(answer, 2)


def test_a_page_has_its_users_and_the_total():
    assert Page.of({"users": [{}, "odd"], "total": 7.0}, 2) == Page([{}, "odd"], 7)


def test_a_new_job_has_neither_progress_nor_a_file():
    assert Job.of(SimpleNamespace(id="job_1", status="pending")) == Job("job_1", "pending")
    done = SimpleNamespace(id="a", status="completed", percentage_done=99.5, location="https://x")
    assert Job.of(done) == Job("a", "completed", 99, "https://x")
    with pytest.raises(TenantError, match="not a job: check AUTH0_DOMAIN"):
        Job.of(SimpleNamespace(id="../a", status="pending"))


def action(version):
    draft = {"id": "1", "name": "a", "code": None, "status": "built", "runtime": "node22"}
    return SimpleNamespace(
        **draft,
        dependencies=None,
        secrets=None,
        supported_triggers=None,
        deployed_version=version,
    )


def test_an_action_tells_its_draft_and_what_runs():
    package = SimpleNamespace(name="b", version="1")
    secret = SimpleNamespace(name="KEY", updated_at="2026")
    version = SimpleNamespace(
        id="v",
        code="x",
        number=2,
        deployed=False,
        runtime="node22",
        dependencies=[package],
        secrets=[secret],
    )
    found = Action.of(action(version))
    assert (found.code, found.deployed, found.version, found.number) == ("", "x", "v", 2)
    assert not found.settled
    assert len(found.settings) == len(found.running) == 16
    assert found.settings != found.running
    none = Action.of(action(None))
    assert (none.deployed, none.version, none.number, none.running) == (None, None, None, "")
    assert none.settled
    version.id = None
    assert Action.of(action(version)).deployed is None
