"""What errors carry beside their words."""

from toolkit.errors import QueryError


def test_a_refused_query_carries_auth0s_code_and_none_by_default():
    assert QueryError("refused", "invalid_body").code == "invalid_body"
    assert QueryError("refused").code == ""
    assert str(QueryError("refused", "invalid_body")) == "refused"
