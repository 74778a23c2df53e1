"""Masked identifiers: told apart, and not known."""

import pandas as pd
import pytest

from toolkit.classification.schema import SNAPSHOT
from toolkit.formatting import mask, mask_email, masked_users


@pytest.mark.parametrize(
    ("user_id", "shown"),
    [
        ("auth0|5f7c8ec7c33c6c004bbafe82", "auth0|5f…82"),
        ("google-oauth2|1234", "google-oauth2|…"),
        ("oauth2|discord|123456789", "oauth2|di…89"),
        ("samlp|corp|alice@example.com", "samlp|co…om"),
        ("samlp|alice@example.com|x1", "samlp|al…x1"),
        ("samlp|corp|alice|smith@example.com", "samlp|co…om"),
        ("alice@example.com|x1", "al…x1"),
        ("google-apps|al@x.y", "google-apps|…"),
        ("alice@example.com", "al…om"),
        ("", "…"),
    ],
)
def test_the_middle_of_an_identifier_is_left_out(user_id, shown):
    assert mask(user_id) == shown


def test_a_long_strategy_is_cut():
    assert len(mask("x" * 10_000 + "|12345678")) < 60


@pytest.mark.parametrize(
    ("email", "shown"),
    [
        ("carol@example.org", "c•••@e•••.org"),
        ("carol@localhost", "c•••@•••"),
        ("no address", "•••"),
        ("", "•••"),
    ],
)
def test_an_address_keeps_its_initials_and_its_top_level_domain(email, shown):
    assert mask_email(email) == shown


def test_nothing_in_masked_users_names_somebody():
    texts = {"user_id": "auth0|5f7c8ec7c33c6c004bbafe82", "email": "carol@example.org"}
    somebody = dict.fromkeys(SNAPSHOT.names, "carol") | texts | {"source": "custom"}
    shown = masked_users(pd.DataFrame([somebody, somebody | {"email": None}]))
    kept = {name: list(shown[name]) for name in ("user_id", "email", "source")}
    assert kept["user_id"] == ["auth0|5f…82"] * 2
    assert kept["email"][0] == "c•••@e•••.org"
    assert pd.isna(kept["email"][1])
    assert kept["source"] == ["custom"] * 2
    personal = {"name", "picture", "metadata_picture", "elsewhere", "gravatar_hash"}
    assert personal.isdisjoint(shown.columns)
