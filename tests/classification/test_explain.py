"""One picture, explained: the same verdict as everywhere, in plain values."""

import json

from toolkit.classification.frames import explain

FACEBOOK = "https://platform-lookaside.fbsbx.com/platform/profilepic/?asid=1&ext=1673985032"


def test_a_url_is_explained_by_itself():
    found = explain(FACEBOOK)
    assert (found["source"], found["provider"]) == ("social", "facebook")
    assert found["expires_at"] == "2023-01-17T19:50:32+00:00"
    assert "Facebook" in found["reason"]
    assert "user_id" not in found


def test_a_user_object_is_explained_by_its_identity_and_its_metadata():
    record = {
        "user_id": "samlp|1",
        "picture": "https://intranet.example/1.png",
        "identities": [{"provider": "samlp", "connection": "corp"}],
    }
    found = explain(record)
    assert (found["user_id"], found["source"], found["expires_at"]) == (
        "samlp|1",
        "enterprise",
        None,
    )
    overridden = explain(record | {"user_metadata": {"picture": "https://x.example/me.png"}})
    assert (overridden["source"], overridden["underlying"]) == ("metadata", "enterprise")
    ended = "https://x.example/me.png?X-Amz-Date=20250101T000000Z&X-Amz-Expires=60"
    assert explain(record | {"user_metadata": {"picture": ended}})["source"] == "enterprise"
    named = {
        **record,
        "identities": [{"provider": "oauth2", "connection": "mastodon"}],
    }
    assert explain(named)["provider"] == "mastodon"


def test_an_explanation_is_plain_json():
    for subject in (FACEBOOK, {}, {"picture": ["x"]}, ""):
        found = explain(subject)
        assert json.loads(json.dumps(found)) == found
