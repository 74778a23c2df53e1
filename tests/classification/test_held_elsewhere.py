"""Which picture of a user the tenant holds and nobody shows, and which does not count."""

import pyarrow as pa
import pytest

from toolkit.classification.columnwise import are_own
from toolkit.classification.frames import explain
from toolkit.classification.held_elsewhere import KEY, is_own, rank
from toolkit.classification.user_profile import user

ROOT = "https://s.gravatar.com/avatar/" + "a" * 32
MINE, OTHER = "https://people.example/me.png", "https://people.example/other.png"
GOOGLE = "https://lh3.googleusercontent.com/a/ACg8ocMadeUp=s96-c"


def found(picture=ROOT, **record):
    one = user({"user_id": "auth0|1", "picture": picture, **record})
    return one.elsewhere, one.elsewhere_from


def identity(provider, picture=None):
    one = {"provider": provider, "connection": "c", "access_token": "s3cret", "user_id": 7}
    return one | ({"profileData": {"picture": picture, "email": "a@b.example"}} if picture else {})


@pytest.mark.parametrize(
    "key",
    [
        *("avatar", "avatar_url", "avatarUrl", "AVATAR-URL", "photo", "photoURL", "photo_url"),
        *("profile_picture", "profilePicture", "profile_image", "profileImageUrl", "profilePic"),
        *("image", "image_url", "picture_url", "pictureUrl", "thumbnail", "user_avatar", "userpic"),
        *("headshot", "avatar_image", "display_picture", "profile_photo_link"),
    ],
)
def test_a_picture_is_found_under_a_key_that_applications_use(key):
    assert found(user_metadata={"theme": "dark", key: MINE}) == (MINE, f"metadata:{key}")


@pytest.mark.parametrize(
    "key", ["picture", "PICTURE", "avatars", "my_avatar", "", "avat\u0131r", "a"]
)
def test_another_key_is_somebodys_and_neither_read_nor_kept(key):
    assert rank(key) is None
    assert found(user_metadata={key: MINE}) == (None, None)


def test_a_linked_identity_is_named_by_its_strategy_only():
    linked = [identity("auth0", OTHER), identity("google-oauth2", GOOGLE)]
    assert found(identities=linked) == (GOOGLE, "linked:google-oauth2")
    named = [identity("auth0"), identity("anna@example.com", GOOGLE)]
    assert found(identities=named) == (GOOGLE, "linked:other")
    assert found(identities=[identity("auth0"), identity(["x"], GOOGLE)])[1] == "linked:other"
    kept = repr(user({"user_id": "auth0|1", "identities": linked}))
    assert "s3cret" not in kept
    assert "a@b.example" not in kept


def test_directory_sync_fills_a_thumbnail_and_no_picture():
    assert found(None, thumbnailPhotoUrl=MINE) == (MINE, "thumbnailPhotoUrl")


def test_metadata_comes_before_linked_identities_and_these_before_the_thumbnail():
    record = {
        "thumbnailPhotoUrl": f"{MINE}?3",
        "identities": [identity("auth0"), identity("github", f"{MINE}?2")],
        "user_metadata": {"photo": f"{MINE}?1", "image": OTHER, "avatar": {"url": OTHER}},
    }
    assert found(**record) == (f"{MINE}?1", "metadata:photo")
    assert found(**record, picture_url=OTHER)[0] == f"{MINE}?1"
    del record["user_metadata"]
    assert found(**record) == (f"{MINE}?2", "linked:github")
    del record["identities"]
    assert found(**record) == (f"{MINE}?3", "thumbnailPhotoUrl")


def test_of_two_spellings_of_a_key_the_order_in_the_profile_does_not_matter():
    one, two = {"avatarUrl": MINE, "avatar": OTHER}, {"avatar": OTHER, "avatarUrl": MINE}
    assert found(user_metadata=one) == found(user_metadata=two) == (OTHER, "metadata:avatar")


def test_what_is_shown_already_is_not_elsewhere():
    assert found(MINE, user_metadata={"avatar": MINE}) == (None, None)
    assert found(user_metadata={"picture": MINE, "avatar": MINE}) == (None, None)
    # Else a plan that wrote the first one into the profile would be followed by one for the next.
    assert found(MINE, user_metadata={"avatar": MINE, "photo": OTHER}) == (None, None)
    both = {"picture": MINE, "avatar": OTHER}
    assert found(user_metadata=both) == (OTHER, "metadata:avatar")


NOT_OWN = (
    "",
    "me.png",
    "http://people.example/me.png",
    "data:image/png;base64,AA==",
    "https://cdn.auth0.com/avatars/ab.png",
    ROOT,
    "https://lh3.googleusercontent.com/a/default-user=s96-c",
    "https://platform-lookaside.fbsbx.com/x?asid=1&ext=4000000000&hash=A",
    "https://graph.microsoft.com/v1.0/me/photo/$value",
    "HTTPS://Graph.Microsoft.com/v1.0/me/photos/48x48/$value",
)


@pytest.mark.parametrize("address", [*NOT_OWN, None, 7, {"url": MINE}, [MINE]])
def test_what_shows_nobodys_own_picture_for_good_does_not_count(address):
    record = {"user_metadata": {"avatar": address}, "thumbnailPhotoUrl": MINE}
    assert found(**record) == (MINE, "thumbnailPhotoUrl")


def test_a_column_is_judged_as_each_of_its_addresses():
    some = [None, *NOT_OWN, MINE, f" {MINE}#a ", GOOGLE, "https://media.licdn.com/dms/x"]
    expected = [one is not None and is_own(one) for one in some]
    assert are_own(pa.array(some, pa.string())).tolist() == expected
    assert expected.count(True) == 4
    assert are_own(pa.array([], pa.string())).tolist() == []


def test_a_key_is_one_pattern_without_a_group_that_another_engine_would_count():
    assert "(" not in KEY.replace("(?:", "")


@pytest.mark.parametrize(
    "record", [{"identities": 7}, {"identities": [None]}, {"user_metadata": []}]
)
def test_odd_profiles_hold_nothing_elsewhere(record):
    assert found(**record) == (None, None)


def test_what_is_explained_names_the_picture_elsewhere():
    said = explain({"user_id": "a|1", "picture": ROOT, "user_metadata": {"avatar": MINE}})
    assert (said["elsewhere"], said["elsewhere_from"]) == (MINE, "metadata:avatar")
    assert "elsewhere" not in explain(ROOT)
