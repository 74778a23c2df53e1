"""A tenant is compared fact by fact, and is afterwards as it was before."""

import json
from collections import Counter

import pytest

from tests.sandbox.conftest import identity, person
from toolkit import conform
from toolkit.change.scopes import rows_of
from toolkit.errors import (
    IncompleteError,
    ScopeError,
    SettingsError,
    TenantError,
    UnreachableError,
)
from toolkit.sandbox.conformance.conform_run import NEEDED, Answer, remove_left
from toolkit.sandbox.conformance.facts import FACTS, PEOPLE
from toolkit.sandbox.conformance.made_users import MOST
from toolkit.sandbox.server import DEFAULT_SCOPES

TOLD = {one.id for one in FACTS if one.check} - {"total-stops"}


def answers(found):
    return {one.id: one.answer for one in found.facts}


def writes(sandbox):
    return [key for key in sandbox.requests.counts if key[0] != "GET" and "oauth" not in key[1]]


# What is compared


def test_the_sandbox_does_what_is_believed(scratch):
    tenant = scratch()
    before = list(tenant._sandbox.users())
    found = conform(tenant, agreed=True)
    assert [one.id for one in found.facts] == [one.id for one in FACTS]
    assert {name for name, answer in answers(found).items() if answer is Answer.SAME} == TOLD
    assert found.count(Answer.DIFFERS) == 0
    assert found.removal.removed == len(PEOPLE)
    assert list(tenant._sandbox.users()) == before


def test_every_fact_has_a_check_or_a_reason_and_says_what_it_rests_on():
    assert len({one.id for one in FACTS}) == len(FACTS)
    for one in FACTS:
        assert bool(one.check) is bool(one.expected) is not bool(one.reason), one.id
        assert "UNKNOWN" in one.source or "INFERRED" in one.source, one.id
        assert one.belief.endswith("."), one.id
    assert len(PEOPLE) <= MOST


def letters(asked):
    if asked.is_("POST", "users", name="Anna Berta Clara"):
        asked.data = asked.data.replace(b"%2Fab.png", b"%2Fabc.png")


def new_name(asked):
    if asked.is_("PATCH", "users/", name="Otto Kern"):
        asked.data = asked.data.replace(b"%2Frl.png", b"%2Fok.png")


def new_email(asked):
    if asked.method == "PATCH" and "email" in asked.body:
        asked.say(200, asked.answer | {"picture": "https://cdn.auth0.com/avatars/pi.png"})


def null(asked):
    if asked.is_("PATCH", "users/", picture=None):
        asked.say(200, {"user_id": "auth0|1"})


def no_scheme(asked):
    if asked.is_("PATCH", "users/", picture="www.example.com/conform"):
        asked.say(200, {"picture": "www.example.com/conform"})


def last_key(asked):
    if asked.is_("GET", "users/") and asked.path.endswith("-08"):
        asked.say(200, asked.answer | {"user_metadata": {}})


def unsorted(asked):
    if asked.is_("GET", "users") and "sort" in asked.query:
        asked.say(200, asked.answer | {"users": asked.answer["users"][::-1]})


def wildcard(asked):
    q = asked.query.get("q", "")
    if q.startswith("user_id:") and q.endswith("*"):
        asked.say(200, {"users": [], "total": 0})


def one_export(asked):
    if asked.is_("POST", "jobs/users-exports", limit=1):
        asked.say(429, {"errorCode": "too_many_requests", "message": "There is 1 active export"})


def ended_rules(asked):
    if asked.is_("GET", "rules"):
        asked.say(404, {"statusCode": 404, "error": "Not Found", "message": "Not Found"})


DEVIATIONS = {
    "letters-of-three-words": letters,
    "picture-after-new-name": new_name,
    "picture-after-new-email": new_email,
    "picture-null": null,
    "picture-without-scheme": no_scheme,
    "last-key-of-metadata": last_key,
    "created-at-walk": unsorted,
    "user-id-wildcard": wildcard,
    "exports-at-once": one_export,
    "rules-after-their-end": ended_rules,
}


def test_of_ten_planted_deviations_exactly_these_ten_differ(scratch):
    found = conform(scratch(deviations=DEVIATIONS.values()), agreed=True)
    compared = answers(found)
    assert {name for name, answer in compared.items() if answer is Answer.DIFFERS} == {*DEVIATIONS}
    same = {name for name, answer in compared.items() if answer is Answer.SAME}
    assert same == TOLD - DEVIATIONS.keys()
    seen = {one.id: one.tenant for one in found.facts}
    assert seen["letters-of-three-words"] == "abc"
    assert seen["picture-after-new-name"] == "other letters"
    assert seen["picture-after-new-email"] == "another picture: initials"
    assert seen["picture-null"] == "taken, no picture"
    assert seen["last-key-of-metadata"] == "an empty object"
    assert seen["exports-at-once"] == "HTTP 429 too_many_requests"
    assert seen["rules-after-their-end"] == "HTTP 404"


def test_a_file_of_an_export_that_is_other_than_believed_is_seen(scratch):
    def bare(asked):
        if asked.path.startswith("/exports/"):
            asked.data = b'{"user_id":"auth0|1"}\n' * 5

    found = conform(scratch(deviations=[bare]), agreed=True)
    differ = {one.id: one.tenant for one in found.facts if one.answer is Answer.DIFFERS}
    assert differ == {"export-packed": "not gzip", "export-without-limit": "fewer than there are"}


def test_what_the_tenant_fails_to_answer_could_not_be_told(scratch):
    def broken(asked):
        if asked.is_("GET", "jobs/"):
            asked.say(200, {"status": "failed"})
        if asked.is_("GET", "rules"):
            asked.say(403, {"errorCode": "insufficient_scope"})
        if asked.is_("GET", "connections/"):
            asked.say(500, {})

    found = conform(scratch(deviations=[broken]), agreed=True)
    untold = {one.id: one.tenant for one in found.facts if one.answer is Answer.COULD_NOT_TELL}
    assert untold["export-packed"] == "the export failed"
    assert untold["rules-after-their-end"] == "the token lacks a scope for that"
    assert untold["connection-missing"] == "the tenant answered HTTP 500"
    assert found.count(Answer.DIFFERS) == 1  # the job that does not exist


def test_a_tenant_that_refuses_every_change_and_every_download_is_told_so(scratch):
    def refuse(asked):
        if asked.is_("PATCH", "users/"):
            asked.say(400, {"errorCode": "operation_not_supported"})
        if asked.path.startswith("/exports/"):
            asked.status = 403

    found = conform(scratch(deviations=[refuse]), agreed=True)
    seen = {one.id: (one.answer, one.tenant) for one in found.facts}
    for name in ("picture-after-new-name", "last-key-of-metadata", "created-at-stays"):
        assert seen[name] == (Answer.DIFFERS, "HTTP 400 operation_not_supported")
    assert seen["export-packed"] == (
        Answer.COULD_NOT_TELL,
        "the export's file did not come (HTTP 403)",
    )
    assert seen["export-file-name"] == (Answer.SAME, ".json.gz")


def test_a_tenant_too_new_for_rules_does_not_tell_whether_they_ended(scratch):
    def never(asked):
        if asked.is_("GET", "rules"):
            asked.say(403, {"errorCode": "rules_not_allowed", "message": "Insufficient privileges"})

    found = conform(scratch(deviations=[never]), agreed=True)
    assert answers(found)["rules-after-their-end"] is Answer.COULD_NOT_TELL
    assert found.count(Answer.DIFFERS) == 0


# What is refused, and what is left then


def test_nobody_who_did_not_agree_has_users_made(scratch):
    tenant = scratch()
    with pytest.raises(SettingsError, match="agree"):
        conform(tenant)
    assert tenant.requests == 1  # the token


@pytest.mark.parametrize("lacking", NEEDED)
def test_without_one_of_its_scopes_it_ends_before_anything_is_asked(scratch, lacking, journals):
    scopes = " ".join(one for one in NEEDED if one != lacking)
    tenant = scratch(scopes=scopes)
    with pytest.raises(ScopeError, match=lacking):
        conform(tenant, agreed=True)
    assert tenant.requests == 1  # the token
    assert journals() == []


def test_its_scopes_are_those_of_its_help_and_enough(scratch):
    (row,) = rows_of("conform")
    assert (*row.reads, *row.writes) == NEEDED
    found = conform(scratch(scopes=" ".join(NEEDED)), agreed=True)
    assert answers(found)["rules-after-their-end"] is Answer.COULD_NOT_TELL
    assert {*row.every} <= {*DEFAULT_SCOPES.split()}


def test_a_tenant_without_a_database_connection_is_left_alone(scratch):
    users = [person(number, identities=identity("google-oauth2")) for number in range(3)]
    tenant = scratch(users)
    with pytest.raises(SettingsError, match="no database connection"):
        conform(tenant, agreed=True)
    assert writes(tenant._sandbox) == []


def test_of_several_database_connections_one_has_to_be_named(scratch):
    tenant = scratch([person(1), person(2, identities=identity("auth0", "staff"))])
    for name, words in ((None, "several"), ("google-oauth2", "no such")):
        with pytest.raises(SettingsError, match=words):
            conform(tenant, agreed=True, connection=name)
    assert writes(tenant._sandbox) == []
    assert conform(tenant, agreed=True, connection="staff").count(Answer.DIFFERS) == 0


def test_a_tenant_of_many_users_is_refused_unless_that_is_wanted(scratch):
    tenant = scratch([person(number) for number in range(1100)])
    with pytest.raises(SettingsError, match="more than 100 users"):
        conform(tenant, agreed=True)
    assert writes(tenant._sandbox) == []
    found = conform(tenant, agreed=True, anyway=True)
    compared = answers(found)
    assert compared["total-stops"] is Answer.SAME
    # The ids of so many people are not fetched.
    assert compared["export-without-limit"] is Answer.COULD_NOT_TELL
    assert tenant._sandbox.user_count == 1100


def test_a_tenant_that_goes_away_in_the_middle_is_an_error_and_nothing_is_left_later(
    scratch, journals
):
    gone = []

    def before(asked):
        if asked.is_("PATCH", "users/", name="Otto Kern"):
            gone.append(True)
        return not gone

    tenant = scratch(before=before)
    with pytest.raises(IncompleteError, match="--clean"):
        conform(tenant, agreed=True)
    assert tenant._sandbox.user_count == 12 + len(PEOPLE)
    assert len(journals()) == 1
    gone.clear()
    type(tenant._sandbox).before = staticmethod(lambda _: True)
    assert remove_left(tenant).removed == len(PEOPLE)
    assert tenant._sandbox.user_count == 12
    assert journals() == []


def test_a_tenant_that_does_not_answer_one_request_ends_the_run_and_users_are_removed(
    scratch, journals
):
    tenant = scratch(before=lambda asked: asked.body.get("name") != "Otto Kern")
    with pytest.raises(UnreachableError):
        conform(tenant, agreed=True)
    assert tenant._sandbox.user_count == 12
    assert journals() == []


def test_a_user_that_the_tenant_does_not_take_ends_the_run(scratch, journals):
    def refuse(asked):
        if asked.is_("POST", "users", name="Rosa Luz"):
            asked.say(400, {"errorCode": "invalid_body", "message": "a username is missing"})

    with pytest.raises(TenantError, match=r"does not take a made-up user \(HTTP 400 invalid_body"):
        conform(scratch(deviations=[refuse]), agreed=True)
    assert journals() == []


def test_a_tenant_that_gives_users_other_ids_is_left_at_once(scratch):
    def rename(asked):
        if asked.is_("POST", "users"):
            asked.say(201, asked.answer | {"user_id": "auth0|other"})

    tenant = scratch(deviations=[rename])
    with pytest.raises(TenantError, match="another id or address"):
        conform(tenant, agreed=True)
    made = Counter(method for method, path, _ in tenant._sandbox.requests.counts.elements())
    assert made["POST"] == 2  # one for the token


def test_a_token_that_expires_on_the_way_is_renewed(scratch, hands):
    def forget(asked):
        hands.now += 90_000 if asked.is_("POST", "jobs/") else 0
        return True

    tenant = scratch(before=forget, clock=hands)
    found = conform(tenant, agreed=True)
    assert found.count(Answer.DIFFERS) == 0
    assert tenant._sandbox.user_count == 12


def test_each_step_says_what_it_is_at_and_closing_it_removes_the_users(scratch):
    tenant = scratch()
    steps = conform.steps(tenant, agreed=True)
    notes = [next(steps).note for _ in range(len(PEOPLE) + 2)]
    assert notes[:2] == ["making users", "making users"]
    assert notes[-2:] == [FACTS[0].id, FACTS[1].id]
    assert tenant._sandbox.user_count == 12 + len(PEOPLE)
    steps.close()
    assert tenant._sandbox.user_count == 12


def test_what_was_found_is_a_table_and_plain_values(scratch):
    found = conform(scratch(), agreed=True)
    table = found.table()
    assert list(table["answer"].value_counts().items()) == [("same", 24), ("could not tell", 14)]
    value = json.loads(json.dumps(found.as_dict()))
    assert value["counts"] == {"same": 24, "differs": 0, "could not tell": 14}
    assert str(found).startswith("24 same, 0 differs, 14 could not tell. 9 made-up users removed")
