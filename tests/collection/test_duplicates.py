import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.classification.schema import PROFILE
from toolkit.classification.user_profile import tabulated, user
from toolkit.collection.exports.duplicates import keys_of, repeats, without


@pytest.fixture(scope="module")
def draft(tmp_path_factory):
    return tmp_path_factory.mktemp("repeats") / "draft.parquet"


@given(
    st.lists(st.tuples(st.sampled_from(["", "a", "b", "é", "a\x00"]), st.sampled_from("xy"))),
    st.integers(1, 5),
)
def test_the_first_row_of_each_user_counts(draft, rows, group):
    table = tabulated(user({"user_id": one, "name": name}) for one, name in rows)
    pq.write_table(table, draft, row_group_size=group)
    first, repeated, conflicting = {}, [], 0
    for number, (one, name) in enumerate(rows):
        if one in first:
            repeated.append(number)
            conflicting += first[one] != name
        elif one:
            first[one] = name
    with duckdb.connect(config={"threads": 1}) as database:
        keys = keys_of(table["user_id"], database)
        assert len(keys) == sum(bool(one) for one, _ in rows)
        found = repeats(draft, np.unique(keys), database)
    assert found.rows.tolist() == repeated
    assert found.conflicting == conflicting
    kept = pa.concat_tables([PROFILE.empty_table(), *without(draft, found.rows)])
    expected = [one for number, one in enumerate(rows) if number not in repeated]
    assert (
        list(zip(*kept.select(["user_id", "name"]).to_pydict().values(), strict=True)) == expected
    )


def test_users_whose_ids_only_share_a_hash_are_no_repeats(draft):
    pq.write_table(tabulated([user({"user_id": "a"}), user({"user_id": "b"})]), draft)
    with duckdb.connect(config={"threads": 1}) as database:
        keys = keys_of(pa.chunked_array([["a", "b"]]), database)
        found = repeats(draft, keys, database)
    assert (found.rows.tolist(), found.conflicting, found.notes) == ([], 0, ())
