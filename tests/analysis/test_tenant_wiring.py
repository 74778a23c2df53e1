"""Wiring: what a tenant's scripts do with pictures, judged by their code."""

import json
import time
from datetime import UTC, datetime

import pytest

from toolkit.analysis.file_header import as_json, read
from toolkit.analysis.tenant_wiring import (
    RULES_END,
    Script,
    Wiring,
    flow_writes_picture,
    hands_users_out,
    wiring,
    writes_picture,
)
from toolkit.change.javascript import action_code
from toolkit.change.policy import Policy

NOW = datetime(2026, 11, 23, tzinfo=UTC)
BEFORE = datetime(2026, 11, 17, tzinfo=UTC)

SAMPLE_OVERRIDE = """
exports.onExecutePostLogin = async (event, api) => {
  const { picture } = event.user.user_metadata;
  api.idToken.setCustomClaim('picture', picture);
};
"""
SAMPLE_DEFAULT = """
exports.onExecutePostLogin = async (event, api) => {
  api.idToken.setCustomClaim("picture", {defaultProfileImage});
};
"""
RULE_OVERRIDE = """
function (user, context, callback) {
  if (user.user_metadata.picture)
    user.picture = user.user_metadata.picture;
  callback(null, user, context);
}
"""
RULE_DEFAULT = """
function (user, context, callback) {
  if (user.picture.indexOf('cdn.auth0.com') > -1) {
    user.picture = swapped(user.picture);
  }
  callback(null, user, context);
}
"""


def judged(code, kind="action", *, on=True, as_of=NOW, **read):
    return wiring([Script(kind, "one", code, on)], as_of, **read)


@pytest.mark.parametrize(
    ("code", "override", "default", "spares"),
    [
        (SAMPLE_OVERRIDE, True, False, False),
        (SAMPLE_DEFAULT, False, True, False),
        (
            (
                "const p = (event.user.user_metadata || {}).picture; "
                "if (p) api.idToken.setCustomClaim(`picture`, p)"
            ),
            True,
            False,
            False,
        ),
        (
            (
                "const m = event.user.user_metadata; "
                "if (m && m.picture) api.idToken.setCustomClaim('picture', m.picture)"
            ),
            True,
            False,
            False,
        ),
        (
            "const m = event.user.user_metadata; x.setCustomClaim('picture', m['picture'])",
            True,
            False,
            False,
        ),
        ("if (!event.user.picture) api.idToken.setCustomClaim('picture', D)", False, True, True),
        (
            "const {picture} = event.user; if (!picture) api.idToken.setCustomClaim('picture', D)",
            False,
            True,
            True,
        ),
        (
            (
                "const o = event.user.user_metadata?.picture;"
                "if (o) api.idToken.setCustomClaim('picture', o);"
                "else if (!event.user.picture) api.idToken.setCustomClaim('picture', D)"
            ),
            True,
            True,
            True,
        ),
        # Whatever this does, pictures come up in it.
        (
            "for (const k of ['picture', 'name']) api.idToken.setCustomClaim(k, v[k])",
            False,
            None,
            False,
        ),
        (
            (
                "const picture = chosen(event.user.user_metadata, 'picture');"
                "api.idToken.setCustomClaim('picture', picture)"
            ),
            None,
            None,
            False,
        ),
    ],
)
def test_an_action_is_judged_by_what_it_mentions(code, override, default, spares):
    found = judged(code)
    (setter,) = found.setters
    assert (setter.override, setter.default, setter.spares) == (override, default, spares)
    assert setter.runs
    assert (found.override, found.default) == (override, default)


@pytest.mark.parametrize(
    "code",
    [
        "// api.idToken.setCustomClaim('picture', x)",
        "/* api.idToken.setCustomClaim('picture', x) */",
        "const u = 'https://x'; api.idToken.setCustomClaim('https://ns/roles', 1)",
        "for (const k of ['role']) api.idToken.setCustomClaim(k, v[k])",
        "",
    ],
)
def test_a_script_that_sets_no_picture_is_none_of_ours(code):
    assert judged(code).setters == ()
    assert judged(code).override is False


def test_a_comment_is_no_code_and_a_text_with_slashes_is_no_comment():
    code = "const u = 'https://x/y.png'; api.idToken.setCustomClaim('picture', u)"
    assert judged(code).default is True


@pytest.mark.parametrize("code", [RULE_OVERRIDE, RULE_DEFAULT])
def test_a_rule_stopped_running_with_the_end_of_rules(code):
    before, after = judged(code, "rule", as_of=BEFORE), judged(code, "rule")
    assert before.running
    assert not before.stopped
    assert not after.running
    assert after.stopped
    assert (after.override, after.default) == (False, False)
    assert judged(code, "rule", as_of=RULES_END).stopped
    assert judged(code, "rule", as_of=BEFORE, on=False).running == ()
    assert not judged(code, "rule", on=False).stopped


def test_both_rules_are_told_apart():
    assert judged(RULE_OVERRIDE, "rule", as_of=BEFORE).override is True
    assert judged(RULE_DEFAULT, "rule", as_of=BEFORE).default is True
    assert judged(RULE_DEFAULT, "rule", as_of=BEFORE).override is False


def test_a_rule_that_only_looks_at_the_picture_sets_none():
    assert judged("function(u, c, cb) { if (user.picture == 'x') cb() }", "rule").setters == ()


def test_what_could_not_be_read_is_unknown():
    assert judged("", actions=False).override is None
    assert judged("", rules=False).override is False  # they have ended
    assert judged("", rules=False, as_of=BEFORE).override is None
    assert judged(SAMPLE_OVERRIDE, rules=False, as_of=BEFORE).override is True


def test_an_action_that_is_not_bound_reaches_nobody():
    found = judged(SAMPLE_OVERRIDE, on=False)
    assert found.override is False
    assert len(found.setters) == 1


def test_wiring_survives_being_written_down_without_the_code():
    found = wiring([Script("action", "A", SAMPLE_OVERRIDE, True)], NOW)
    values = as_json(found)
    assert read(Wiring, values) == found
    assert "setCustomClaim" not in str(values)
    assert "yes" in repr(found)


def test_a_picture_may_be_unpacked_on_several_lines():
    code = (
        "const {\n  picture,\n  name\n} =\n    event.user.user_metadata;\n"
        "api.idToken.setCustomClaim('picture', picture)"
    )
    assert judged(code).override is True


# With a pattern that goes back over what it has seen, each of these takes minutes.
@pytest.mark.parametrize(
    "filling",
    [
        " " * 100_000,
        "a$" * 50_000,
        "meta " * 20_000,
        "{ picture " * 10_000,
        "{ picture } = " * 7_000,
        "user_metadata" + " " * 80_000,
        "/* " * 30_000,
    ],
    ids=lambda filling: filling[:12],
)
def test_large_code_is_judged_without_going_over_it_again_and_again(filling):
    code = "api.idToken.setCustomClaim('picture', event.user.user_metadata.picture);" + filling
    assert judged(code).override is True
    code = "api.idToken.setCustomClaim('picture', D);" + filling
    assert judged(code).override is not True


@pytest.mark.parametrize(
    "changes",
    [{"kind": "<b>"}, {"kind": []}, {"name": None}, {"on": 1}, {"override": "yes"}, {"default": 0}],
)
def test_a_file_can_name_no_other_kind_of_script(changes):
    values = as_json(wiring([Script("action", "a", SAMPLE_OVERRIDE, on=True)], NOW))
    (setter,) = values["setters"]
    unknown = setter | {"override": None, "default": None}
    assert read(Wiring, values | {"setters": [unknown]}).setters[0].override is None
    with pytest.raises((TypeError, ValueError)):
        read(Wiring, values | {"setters": [setter | changes]})


def test_a_file_can_name_no_time_without_a_zone():
    with pytest.raises(ValueError, match="not a time"):
        read(Wiring, as_json(wiring([], NOW)) | {"as_of": "2026-11-23T00:00:00"})


ELSEWHERE = "event.user.user_metadata.picture"


@pytest.mark.parametrize(
    ("code", "override", "default"),
    [
        (f"api.accessToken.setCustomClaim('picture', {ELSEWHERE})", False, False),
        (f"const t = api.accessToken; t.setCustomClaim('picture', {ELSEWHERE})", False, False),
        (f"api['accessToken']['setCustomClaim']('picture', {ELSEWHERE})", False, False),
        (
            (
                "const { accessToken: at } = api; api.idToken.setCustomClaim('role', 1); "
                f"at.setCustomClaim('picture', {ELSEWHERE})"
            ),
            False,
            False,
        ),
        (f"const {{ idToken }} = api; idToken.setCustomClaim('picture', {ELSEWHERE})", True, False),
        (
            f"for (const k of [api.idToken]) k.setCustomClaim('picture', {ELSEWHERE})",
            True,
            False,
        ),
        (
            (
                f"api.accessToken.setCustomClaim('picture', {ELSEWHERE}); "
                "api.idToken.setCustomClaim('picture', 'https://d.example/x.png')"
            ),
            False,
            True,
        ),
        ("api.idToken.setCustomClaim('picture', event.user.picture)", False, False),
        ("api.idToken.setCustomClaim('picture', (event.user.picture))", False, False),
        ("api.idToken.setCustomClaim('picture', String(event.user.picture))", False, False),
        ("api.idToken.setCustomClaim('picture', `${event.user.picture}`)", False, False),
        ("api.idToken.setCustomClaim('picture', event['user']?.[\"picture\"],)", False, False),
        ("api.idToken.setCustomClaim('picture', (D) || (event.user.picture))", False, True),
        ("api.idToken.setCustomClaim('picture', event.user.picture ? D : null)", False, True),
        ("const C = 'picture'; api.idToken.setCustomClaim(C, event.user.picture)", False, False),
        (f"const C = 'picture'; api.idToken.setCustomClaim(C, {ELSEWHERE})", True, False),
        (
            f"const C = 'https://x/picture'; api.idToken.setCustomClaim(C, {ELSEWHERE})",
            False,
            False,
        ),
        (f"let C = 'x'; C = f('picture'); api.idToken.setCustomClaim(C, {ELSEWHERE})", None, None),
        ("const u = event.user; api.idToken.setCustomClaim('picture', u.picture)", False, False),
        (
            (
                "const u = event.user; "
                "api.idToken.setCustomClaim('picture', u?.picture ? u?.picture : '')"
            ),
            False,
            False,
        ),
        (
            "api.idToken.setCustomClaim('picture', event.user.picture && event.user.picture)",
            False,
            False,
        ),
        (
            "api.idToken.setCustomClaim('picture', event.user.picture ? DEFAULT : null)",
            False,
            True,
        ),
        (
            f"api.idToken.setCustomClaim('picture', {ELSEWHERE} ? {ELSEWHERE} : null)",
            True,
            False,
        ),
        (
            "const { picture } = event.user; api.idToken.setCustomClaim('picture', picture)",
            False,
            False,
        ),
        (
            "const p = event.user.picture; api.idToken.setCustomClaim('picture', p ?? null)",
            False,
            True,
        ),
        (
            (
                f"let picture = event.user.picture; if (x) {{ picture = {ELSEWHERE}; }} "
                "api.idToken.setCustomClaim('picture', picture)"
            ),
            True,
            False,
        ),
        (
            (
                f"if (x) api.idToken.setCustomClaim('picture', {ELSEWHERE}); "
                "else api.idToken.setCustomClaim('picture', event.user.picture)"
            ),
            True,
            False,
        ),
    ],
)
def test_a_claim_counts_where_it_reaches_the_id_token_and_changes_the_picture(
    code, override, default
):
    found = judged(code)
    assert (found.override, found.default) == (override, default)


def test_code_that_only_copies_the_picture_sets_nothing():
    assert judged("api.idToken.setCustomClaim('picture', event.user.picture)").setters == ()


@pytest.mark.parametrize(
    "text",
    ["setCustomClaim(", "x.picture.", "accessToken=", "const picture = ", "setCustomClaim(x,"],
)
def test_long_code_is_read_in_a_moment(text):
    started = time.monotonic()
    judged(f"idToken {text * (100_000 // len(text))} idToken.setCustomClaim('picture', picture)")
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("code", "writes"),
    [
        ("api.user.setUserMetadata('picture', url)", True),
        ("management.users.update({id}, {picture})", True),
        ("// api.user.setUserMetadata('picture', url)", False),
        ("api.user.setUserMetadata('theme', picture)", False),
        ("fetch(`${domain}/api/v2/users/${id}`)", False),
    ],
)
def test_code_that_may_write_a_picture_into_a_profile_is_known(code, writes):
    assert writes_picture(code) is writes


@pytest.mark.parametrize(
    ("action", "writes"),
    [
        ({"action": "UPDATE_USER", "params": {"changes": {"picture": "x"}}}, True),
        ({"action": "CREATE_USER", "params": {"user_metadata": {"picture": "x"}}}, True),
        ({"action": "UPDATE_USER", "params": {"changes": {"name": "x"}}}, False),
        ({"action": "SEND_EMAIL", "params": {"changes": {"picture": "x"}}}, False),
        ({"action": ["UPDATE_USER"], "params": [{"picture": "x"}]}, False),
        ("UPDATE_USER", False),
    ],
)
def test_a_flow_that_writes_a_picture_is_known_and_an_odd_one_stops_nothing(action, writes):
    assert flow_writes_picture({"actions": [{}, action]}) is writes
    assert not flow_writes_picture({"actions": {"0": action}})
    assert not flow_writes_picture([action])


def test_an_event_stream_of_any_shape_is_judged():
    users = {"subscriptions": [None, {"event_type": "user.created"}], "status": "enabled"}
    assert hands_users_out(users | {"destination": {"type": "webhook"}})
    assert hands_users_out(users)
    assert not hands_users_out(users | {"destination": {"type": "action"}})
    assert not hands_users_out(users | {"status": "disabled"})
    assert not hands_users_out(users | {"subscriptions": "user.created"})
    assert not hands_users_out([users])


def test_a_policy_in_a_snapshot_of_a_former_version_is_read():
    code = action_code(Policy("https://images.example/a.png", order=("own", "elsewhere")))
    now = wiring(
        [Script("action", "ours", code, on=True), Script("rule", "old", RULE_OVERRIDE, on=True)],
        NOW,
    )
    written = json.loads(json.dumps(as_json(now)))
    assert Wiring.from_dict(written) == now
    for flags in ({"override": False, "elsewhere": True}, {"override": True}):
        policy = written["setters"][0]["policy"]
        written["setters"][0]["policy"] = {
            name: value for name, value in policy.items() if name not in ("order", "elsewhere")
        } | flags
        order = Wiring.from_dict(written).setters[0].policy.order
        assert order == (("override", "own") if flags["override"] else ("own", "elsewhere"))
