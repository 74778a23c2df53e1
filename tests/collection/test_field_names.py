import csv
import io
import json
import math
from functools import reduce
from itertools import chain, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.classification.user_profile import user
from toolkit.collection.exports.blocks import BlockReader, cells_of, is_plain
from toolkit.collection.exports.field_names import FieldNames
from toolkit.collection.exports.ingest_files import ingest, open_database
from toolkit.collection.exports.not_users import refuse_if_no_users
from toolkit.collection.exports.reader import record_of
from toolkit.collection.exports.values_by_path import NO_VALUES, record_of_cells
from toolkit.errors import SettingsError, UnreadableInputError
from toolkit.sandbox.made_up.tenants import people

PICTURE, OVERRIDE = "https://p.example/1.png", "https://o.example/1.png"
IDENTITIES = [
    {"provider": "samlp", "connection": "corp", "user_id": "x", "isSocial": False},
    {"provider": "github", "connection": "github", "profileData": {"picture": PICTURE + "?2"}},
]
PERSON = {
    "user_id": "samlp|corp|x",
    "email": "x@example.org",
    "name": "X",
    "picture": PICTURE,
    "created_at": "2024-03-01T10:00:00.000Z",
    "updated_at": "2024-03-02T10:00:00.000Z",
    "last_login": "2024-03-03T10:00:00.000Z",
    "logins_count": 3,
    "identities": IDENTITIES,
    "user_metadata": {"picture": OVERRIDE, "theme": "dark"},
}
FLAT = {key: value for key, value in PERSON.items() if not isinstance(value, list | dict)}
PATHS = {
    "identities[0].provider": "samlp",
    "identities[0].connection": "corp",
    "identities[1].provider": "github",
    "identities[1].profileData.picture": PICTURE + "?2",
    "user_metadata.picture": OVERRIDE,
}
TEXT, METADATA_TEXT = json.dumps(IDENTITIES), json.dumps(PERSON["user_metadata"])


def renamed(names, record=PERSON):
    return {names.get(key, key): value for key, value in record.items()}


def paths(joined, record=FLAT):
    """Name the values by path as a tool does that joins the steps of a path so."""
    steps = {key: key.replace("[", ".").replace("]", "").split(".") for key in PATHS}
    return record | {joined.join(steps[key]): value for key, value in PATHS.items()}


def titled(record):
    """Name all attributes in words that begin with capitals, as sheets do."""
    return {key.replace("_", " ").replace(".", " ").title(): one for key, one in record.items()}


def camel(name):
    first, *others = name.split("_")
    return first + "".join(map(str.title, others))


AROUND = {"_airbyte_raw_id": "1", "_airbyte_extracted_at": 1, "_airbyte_meta": {"errors": []}}
SHAPES = {
    "Auth0's own": PERSON,
    "Auth0's by path": FLAT | PATHS,
    "a snapshot": FLAT
    | {"connection": "corp", "strategy": "samlp", "metadata_picture": OVERRIDE}
    | {key: value for key, value in PATHS.items() if "[1]" in key},
    "the extension's titles": renamed(
        {
            "user_id": "Id",
            "email": "Email",
            "name": "Name",
            "picture": "Picture",
            "created_at": "Created At",
            "updated_at": "Updated At",
        }
    ),
    "sheet titles": titled(PERSON) | {"Login Count": 3},
    "sheet titles of paths": titled(FLAT | {"user_metadata.picture": OVERRIDE})
    | {"Connection": "corp", "Provider": "samlp"}
    | {"Identities 1 Provider": "github", "Identities 1 Profile Data Picture": PICTURE + "?2"},
    "camel case": {camel(key): value for key, value in PERSON.items()},
    "camel paths": {camel(key): one for key, one in FLAT.items()}
    | {key: one for key, one in PATHS.items() if "metadata" not in key}
    | {"userMetadata.picture": OVERRIDE},
    "upper case": {key.upper(): value for key, value in PERSON.items()},
    "dots": paths("."),
    "slashes": paths("/"),
    "underscores": paths("_"),
    "double underscores": paths("__"),
    "Steampipe row": renamed({"user_id": "id"}) | {"connection": None, "blocked": None},
    "Steampipe": {"columns": [{"name": "id"}], "rows": [renamed({"user_id": "id"})]},
    "Steampipe's CSV": renamed({"user_id": "id"})
    | {"identities": TEXT, "user_metadata": METADATA_TEXT},
    "MongoDB": renamed({"user_id": "_id"}),
    "MongoDB's ids": renamed({"user_id": "_id"}) | {"_id": {"$oid": "samlp|corp|x"}},
    "MongoDB's flat ids": renamed({"user_id": "_id.$oid"}),
    "MongoDB's numbers": PERSON | {"logins_count": {"$numberLong": "3"}},
    "a token's claims": renamed({"user_id": "sub"}),
    "an application's table": renamed({"user_id": "auth0_id"}) | {"id": 17},
    "an application's table with sub": {"id": 17} | renamed({"user_id": "sub"}),
    "JSON texts": PERSON | {"identities": TEXT, "user_metadata": METADATA_TEXT},
    "JSON in JSON": PERSON | {"identities": json.dumps(TEXT), "user_metadata": METADATA_TEXT},
    "Python's texts": PERSON
    | {"identities": str(IDENTITIES), "user_metadata": str(PERSON["user_metadata"])},
    "numpy's texts": PERSON | {"identities": str(IDENTITIES).replace("}, {", "}\n {")},
    "an array's text": PERSON | {"identities": f"array({IDENTITIES}, dtype=object)"},
    "pandas' NaN": PERSON
    | {"user_metadata": "{'picture': '" + OVERRIDE + "', 'theme': nan, 'a': true}"},
    "BigQuery's lists": PERSON | {"identities": {"list": [{"element": one} for one in IDENTITIES]}},
    "one identity": PERSON
    | {"identities": IDENTITIES[0], "identities[1].provider": "github"}
    | {"identities[1].profileData.picture": PICTURE + "?2"},
    "identities by number": PERSON | {"identities": {"0": IDENTITIES[0], "1": IDENTITIES[1]}},
    "the SDK for Python": PERSON
    | {"identities": [IDENTITIES[0], renamed({"profileData": "profile_data"}, IDENTITIES[1])]},
    "numbers as texts": PERSON | {"logins_count": "3.0"},
    "Auth0's CSV saved again": {
        key: f"'{value}" if isinstance(value, str) else value
        for key, value in (FLAT | PATHS).items()
    },
    "Singer": {"type": "RECORD", "stream": "users", "record": PERSON, "time_extracted": "2024"},
    "Airbyte's protocol": {"type": "RECORD", "record": {"stream": "users", "data": PERSON}},
    "Airbyte's raw table": AROUND | {"_airbyte_data": PERSON},
    "Airbyte's raw text": AROUND | {"_airbyte_data": json.dumps(PERSON)},
    "Snowflake's Airbyte": {"_AIRBYTE_AB_ID": "1", "_AIRBYTE_DATA": json.dumps(PERSON)},
    "Airbyte's columns": AROUND | PERSON | {"identities": TEXT, "user_metadata": METADATA_TEXT},
    "Fivetran": PERSON
    | {"identities": TEXT, "_fivetran_synced": "2024", "_fivetran_deleted": False},
    "PostHog's API": {
        "id": 7,
        "uuid": "0",
        "name": "x@example.org",
        "distinct_ids": ["0123", "samlp|corp|x"],
        "created_at": "2020-01-01T00:00:00Z",
        "properties": {key: one for key, one in PERSON.items() if key != "user_id"},
    },
    "PostHog's table": {
        "distinct_id": "samlp|corp|x",
        "email": "x@example.org",
        "properties": json.dumps({key: one for key, one in PERSON.items() if key != "user_id"}),
    },
    "a user in a document": {
        "user": PERSON,
        "global_roles": [],
        "organizations": [],
        "metadata": {},
    },
    "a page": {"start": 0, "limit": 50, "length": 1, "users": [PERSON], "total": 1},
    "a page of data": {"data": [PERSON], "next": None},
    "items": {"items": [PERSON]},
    "Elastic": {"_index": "u", "_id": "1", "_score": 1.0, "_source": PERSON},
    "Elastic's answer": {
        "took": 3,
        "hits": {"total": 1, "hits": [{"_id": "1", "_source": PERSON}]},
    },
    "Elastic without the id": {
        "_id": "samlp|corp|x",
        "_source": {key: one for key, one in PERSON.items() if key != "user_id"},
    },
    "an event": {"specversion": "1.0", "type": "user.updated", "data": {"object": PERSON}},
    "GraphQL": {"data": {"users": {"edges": [{"node": PERSON}]}}},
    "an array": [PERSON],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_user_is_the_same_in_all_shapes(shape):
    names = FieldNames()
    for _ in range(2):  # the second time, the decision is known
        (found,) = names.users(json.loads(json.dumps(SHAPES[shape])))
        assert user(found) == user(PERSON)
    assert names.absent == ()


def test_what_was_taken_for_what_is_one_sentence():
    names = FieldNames()
    list(
        names.users(
            {"Id": "auth0|1", "Picture": PICTURE, "Connection": "db", "Email Verified": True}
        )
    )
    (note,) = names.notes
    begin, _, end = note.partition(": ")
    assert begin == "Taken from other names"
    assert end == "user_id from Id, picture from Picture, connection from Connection."
    assert names.present == {"user_id", "picture", "identities[0].connection"}
    assert names.absent == (
        *("email", "name", "created_at", "updated_at", "last_login", "logins_count"),
        *("metadata_picture",),
    )
    names = FieldNames()
    list(names.users(SHAPES["Airbyte's raw table"]))
    assert names.notes == ("Taken from other names: users from _airbyte_data.",)
    names = FieldNames()
    list(names.users(SHAPES["a page"]))
    assert names.notes == ()


def test_of_two_keys_for_one_attribute_auth0s_counts_and_a_note_says_so():
    names = FieldNames()
    record = {"id": 7, "Picture": "other", "user_id": "auth0|1", "picture": PICTURE}
    (found,) = names.users(record)
    assert (user(found).user_id, user(found).picture) == ("auth0|1", PICTURE)
    assert names.notes == (
        "Not used, as another name is nearer to Auth0's: id (user_id), Picture (picture).",
    )
    titles = FieldNames().titles(
        ["Picture", "id", "user_id", "picture", "Last Login", "Name", "NAME"]
    )
    assert titles == [
        *("Picture (not used)", "id (not used)", "user_id", "picture", "last_login", "name"),
        "NAME (not used)",
    ]


def test_in_one_file_an_attribute_is_always_taken_from_the_same_key():
    names = FieldNames()
    found = [
        user(one)
        for record in (
            {"user_id": "auth0|1", "picture": PICTURE},
            {"user_id": "auth0|2", "Picture": "somebody's own attribute"},
            {"user_id": "auth0|3", "picture": OVERRIDE, "Picture": "x"},
        )
        for one in names.users(record)
    ]
    assert [one.picture for one in found] == [PICTURE, None, OVERRIDE]
    names = FieldNames()
    found = [
        user(one)
        for record in (
            {"sub": "auth0|1", "id": 1, "picture": PICTURE},
            {"id": 2, "picture": PICTURE},
            {"sub": None, "id": 3, "picture": PICTURE},
        )
        for one in names.users(record)
    ]
    assert [one.user_id for one in found] == ["auth0|1", "", ""]


@pytest.mark.parametrize(
    ("record", "user_id"),
    [
        ({"sub": "no strategy", "id": "auth0|1", "email": "a"}, "auth0|1"),
        ({"sub": "no strategy", "id": "plain", "email": "a"}, "plain"),
        ({"sub": "no strategy", "email": "a"}, ""),
        ({"sub": "", "email": "a"}, ""),
        ({"_id": 4, "id": "auth0|1", "email": "a"}, "auth0|1"),
        ({"id": 4, "email": "a"}, "4"),
        ({"id": "rol_1", "name": "editors", "description": "Editors"}, ""),
        ({"id": 4, "name": "nobody"}, ""),
        ({"user_id": {"0": "auth0|1"}, "picture": {"0": PICTURE}}, ""),
        ({"user_id": [{"a": 1}], "picture": PICTURE}, ""),
        ({"distinct_id": "auth0|1", "email": "a", "properties": {"plan": "free"}}, "auth0|1"),
        ({"id": "1", "data": {"id": "2"}}, ""),
    ],
)
def test_an_id_counts_only_where_it_can_be_a_users(record, user_id):
    (found,) = FieldNames().users(record)
    assert user(found).user_id == user_id


@pytest.mark.parametrize(
    "line",
    [
        {"type": "SCHEMA", "stream": "users", "schema": {}, "key_properties": ["user_id"]},
        {"type": "STATE", "value": {"bookmarks": {}}},
        {"type": "STATE", "state": {"data": {}}},
        {"type": "ACTIVATE_VERSION", "stream": "users", "version": 1},
        {"type": "LOG", "log": {"level": "INFO", "message": "begun"}},
        {"type": "RECORD", "stream": "roles", "record": {"id": "rol_1", "name": "a"}},
        {"type": "RECORD", "stream": "organization_members", "record": PERSON},
        {"type": "RECORD", "record": {"stream": "logs", "data": {"user_id": "auth0|1"}}},
        {"users": [], "total": 0},
        [],
    ],
)
def test_a_line_that_is_no_row_of_users_gives_none(line):
    assert list(FieldNames().users(line)) == []


@pytest.mark.parametrize(
    "record",
    [
        {"statusCode": 429, "error": "Too Many Requests", "message": "Global limit"},
        {"date": "2024", "type": "s", "user_id": "auth0|1", "log_id": "9"},
        {"log_id": "9", "data": {"date": "2024", "type": "s", "user_id": "auth0|1", "log_id": "9"}},
        {"user": {"user_id": "auth0|1", "email": "a"}, "errors": [{"code": "DUPLICATED_USER"}]},
        {
            "user_id": "auth0|1",
            "picture": "",
            "after": "",
            "outcome": "",
            "source": "",
            "reason": "",
        },
        {"users": 3, "tenant": "t"},
        {"data": reduce(lambda inside, _: {"data": inside}, range(9), PERSON)},
        {"type": None, "value": "not JSON"},
    ],
)
def test_what_is_no_user_has_no_id(record):
    (found,) = FieldNames().users(record)
    assert user(found).user_id == ""
    assert not FieldNames().are_plain(record)


def test_what_is_no_object_stays():
    assert list(FieldNames().users(7)) == [7]
    assert list(FieldNames().users([7, PERSON])) == [7, PERSON]


@pytest.mark.parametrize(
    ("given", "record", "expected"),
    [
        (
            {"picture": "avatar_url"},
            {"user_id": "a|1", "avatar_url": PICTURE, "picture": "x"},
            PICTURE,
        ),
        (
            {"picture": "user_metadata.avatar"},
            PERSON | {"user_metadata": {"avatar": OVERRIDE}},
            OVERRIDE,
        ),
        ({"picture": "images[1].url"}, PERSON | {"images": [{}, {"url": OVERRIDE}]}, OVERRIDE),
        ({"picture": "photo"}, {"photo": OVERRIDE, "user": PERSON}, OVERRIDE),
        (
            {"user_id": "key"},
            {"key": "auth0|1", "user_metadata": {}, "picture": OVERRIDE},
            OVERRIDE,
        ),
        (
            {"user_id": "key"},
            {"key": "a|1", "value": {"picture": OVERRIDE, "email": "a"}},
            OVERRIDE,
        ),
        ({"user_id": "meta.key"}, {"meta": {"key": "a|1"}, "picture": OVERRIDE}, OVERRIDE),
    ],
)
def test_what_somebody_says_beats_all_names(given, record, expected):
    names = FieldNames(given)
    for _ in range(2):
        (found,) = names.users(record)
        assert user(found).user_id
        assert user(found).picture == expected
    names.ensure_given("users.json")
    (name,), (column,) = given, given.values()
    assert f"{name} from {column}" in names.notes[0]


def test_a_given_name_by_a_snapshots_name_moves_a_column():
    names = FieldNames({"metadata_picture": "Avatar", "connection": "Realm", "picture": "Photo"})
    titles = names.titles(["user_id", "Avatar", "Realm", "Photo", "picture", "connection"])
    assert titles == [
        *("user_id", "user_metadata.picture", "identities[0].connection", "picture"),
        *("picture (not used)", "connection (not used)"),
    ]
    assert is_plain(titles)
    assert "connection from Realm" in names.notes[0]


def test_a_given_name_or_column_that_is_not_there_is_refused_with_what_there_is():
    with pytest.raises(SettingsError, match=r"--map avatar=…: .* picture, .*connection"):
        FieldNames({"avatar": "x"})
    names = FieldNames({"connection": "realm"})
    list(names.users({"user_id": "auth0|1", **{f"key {n}": n for n in range(20)}}))
    with pytest.raises(UnreadableInputError, match=r"u\.json has no realm.*user_id, key 0.*9 more"):
        names.ensure_given("u.json")
    with pytest.raises(UnreadableInputError, match="It has: no names"):
        FieldNames({"picture": "x"}).ensure_given("u.json")


def test_a_given_column_may_come_late():
    names = FieldNames({"picture": "photo.url"})
    seen = [
        user(one).picture
        for photo in (None, {"url": PICTURE}, {"url": OVERRIDE})
        for one in names.users({"user_id": "auth0|1", "photo": photo})
    ]
    assert seen == [None, PICTURE, OVERRIDE]
    names.ensure_given("u.json")


def test_records_in_auth0s_form_are_plain_and_stay_as_they_are():
    for record in (
        PERSON,
        FLAT,
        FLAT | {"identities[0].connection": "x"},
        FLAT | {"Email Verified": 1},
    ):
        assert FieldNames().are_plain(record)
    names = FieldNames()
    assert next(names.users(PERSON)) is PERSON
    for shape, record in SHAPES.items():
        assert FieldNames().are_plain(record) == (
            shape in ("Auth0's own", "MongoDB's numbers", "numbers as texts")
        ), shape


def test_nested_texts_that_cannot_be_read_are_counted():
    names = FieldNames()
    deep, long = "[" * 60 + "None" + "]" * 60, "[" + "'x'," * 300_000 + "}"
    layers = json.dumps(json.dumps(json.dumps(TEXT)))
    texts = ["[torn", "{'a': object()}", "{'a': set()}", "[{(1, 2): 3}]", "x", deep, long, layers]
    for text in texts:
        (found,) = names.users(FLAT | {"identities": text, "identities[0].connection": "corp"})
        assert user(found).connection == "corp"
        (found,) = names.users(FLAT | {"user_id": "a|1", "identities": text})
        assert user(found).strategy == "a"
    assert names.notes == ("identities of 8 users cannot be read.",)


def test_a_table_says_in_words_that_there_is_no_value_but_somebody_may_be_called_so():
    for none in NO_VALUES:
        row = {"user_id": "a|1", "name": none, "picture": none, "user_metadata.picture": none}
        row |= {"logins_count": none, "identities": none}
        (found,) = FieldNames(is_table=True).users(row)
        one, cells = user(found), user(record_of_cells(row, row.values()))
        assert one == cells
        assert (one.name, one.picture, one.metadata_picture) == (none, None, None)
        quoted = user(record_of_cells(row, [f"'{cell}" for cell in row.values()]))
        assert quoted.picture == none  # a text of Auth0's
        (found,) = FieldNames().users(row)
        assert user(found).picture == none  # a text of JSON
    (found,) = FieldNames().users(PERSON | {"picture": math.nan})
    assert user(found).picture is None


@pytest.mark.parametrize("more", ["", ",[]"])  # read at once, and row by row
def test_in_a_csv_a_word_after_auth0s_quote_is_a_text(more, tmp_path):
    rows = ["user_id,name,picture", "'a|1,'None,'null", "'a|2,None,null"]
    titles, *cells = rows
    lines = [titles + ("" if not more else ",identities"), *(row + more for row in cells)]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    users = ingest([tmp_path / "t.csv"], tmp_path / "o.parquet").users
    assert users["picture"].fillna("").to_list() == ["null", ""]
    assert users["name"].to_list() == ["None", "None"]


def test_columns_can_hold_users_or_be_theirs():
    names = FieldNames()
    assert names.has_users(["Id", "Picture"])
    assert names.has_users(["_airbyte_ab_id", "_airbyte_data"])
    assert not names.has_users(["id", "name"])
    assert not names.has_users(["customer", "avatar"])
    assert names.titles([" customer", "Picture"]) == ["customer", "Picture"]


def test_users_in_a_page_that_has_an_id_itself_are_not_lost():
    page = {"user_id": "auth0|page", "picture": None, "users": [PERSON, PERSON], "total": 3}
    for names in (FieldNames(), FieldNames()):
        for _ in range(2):  # the second time it is known what these keys mean
            found = [one["user_id"] for one in names.users(page)]
            assert found == ["auth0|page", PERSON["user_id"], PERSON["user_id"]]
    alone = {"user_id": "auth0|1", "picture": None, "users": ["auth0|2"], "data": [{"a": 1}]}
    assert list(FieldNames().users(alone)) == [alone]


def test_rows_that_hold_users_are_present_by_what_is_inside():
    names = FieldNames()
    assert names.titles(["_airbyte_ab_id", "_airbyte_data"]) == ["_airbyte_ab_id", "_airbyte_data"]
    (found,) = names.users(
        record_of_cells(["_airbyte_ab_id", "_airbyte_data"], ["1", json.dumps(PERSON)])
    )
    assert user(found) == user(PERSON)
    names = FieldNames()
    titles = names.titles(["Id", "Picture", "Connection"])
    (found,) = names.users(record_of_cells(titles, ["'a|1", PICTURE, "db"]))
    assert user(found).connection == "db"
    assert names.present == {"user_id", "picture", "identities[0].connection"}


def test_keys_that_always_differ_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr("toolkit.collection.exports.field_names._REMEMBERED", 50)
    names = FieldNames()
    for number in range(200):
        (found,) = names.users({"Id": f"a|{number}", "email": "x", str(number): 1})
        assert user(found).user_id
    assert len(names._plans) <= 50
    assert len(names._seen) < 60


# Provider: the query, the rows and the records decide alike

USER_IDS = ["samlp|corp|x", "plain", "acme|7", "|x", "github|7", "7|x", "o'|'x"]
PROVIDERS = [
    "",
    "corp",
    "github",
    "samlp",
    "acme",
    "7",
    "[]",
    "'",
    "'github",
    "'corp",
    "''",
    "'null",
]
TITLES = ["user_id", "identities[0].connection", "provider", "strategy"]


def both(profiles, users):
    """Return what a query found, and what the exact reader found."""
    seen = [(one["connection"], one["strategy"]) for one in profiles.to_pylist()]
    return seen, [(one.connection, one.strategy) for one in users]


def test_provider_in_a_table_means_the_same_to_the_query_and_to_the_exact_reader():
    rows = list(product(USER_IDS, PROVIDERS[:7], [*PROVIDERS, *NO_VALUES], PROVIDERS[:6]))
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    cells = cells_of(file.getvalue().encode(), TITLES)
    with open_database() as database, BlockReader(database) as reader:
        at_once = reader.read_cells(cells, 0).profiles
    seen, exact = both(at_once, [user(record_of_cells(TITLES, row)) for row in rows])
    assert seen == exact


def test_provider_in_json_means_the_same_to_the_query_and_to_the_exact_reader():
    values = [None, *PROVIDERS[:4], 7, False, [], {}]
    records = [
        dict(zip(TITLES, row, strict=True)) | more
        for row in product(USER_IDS, values, values, values[:4])
        for more in ({}, {"identities": []}, {"identities": [{"provider": "ad"}]})
    ]
    lines = [json.dumps(one).encode() + b"\n" for one in records]
    with open_database() as database, BlockReader(database) as reader:
        at_once = reader.read_lines(lines, FieldNames()).profiles
    seen, exact = both(at_once, [user(record_of(line)) for line in lines])
    assert seen == exact


@pytest.mark.parametrize(
    ("user_id", "provider", "strategy", "connection"),
    [
        ("samlp|corp|x", "corp", "samlp", "corp"),
        ("oauth2|acme|7", "acme", "oauth2", "acme"),
        (
            "auth0|3",
            "Username-Password-Authentication",
            "auth0",
            "Username-Password-Authentication",
        ),
        ("google-oauth2|3", "google-oauth2", "google-oauth2", None),
        ("auth0|3", "github", "auth0", None),
        ("own|3", "own", "own", None),
        ("3", "github", "github", None),
        ("3", "corp", None, "corp"),
    ],
)
def test_provider_never_beats_what_the_id_says(user_id, provider, strategy, connection):
    one = user(record_of_cells(["user_id", "provider"], [user_id, provider]))
    assert (one.strategy, one.connection) == (strategy, connection)
    one = user(record_of_cells(["user_id", "provider", "connection"], [user_id, provider, "known"]))
    assert (one.strategy, one.connection) == (strategy, "known")


# Records that nobody wrote on purpose

KEYS = st.sampled_from(
    [
        *chain(*(SHAPES[one] for one in ("Auth0's by path", "PostHog's API", "Singer"))),
        *("Id", "sub", "identities", "user_metadata", "user_metadata_avatar", "users"),
        *("_airbyte_data", "hits", "_source"),
    ]
)
TEXTS = ["", "auth0|1", "'x", "[", "{1: 2}", "{'users': {1: {2: 3}}}", TEXT, "RECORD"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.sampled_from(TEXTS),
    lambda inside: (
        st.lists(inside, max_size=3)
        | st.dictionaries(KEYS | st.text(max_size=3), inside, max_size=4)
        | inside.map(str)
    ),
    max_leaves=12,
)


@given(VALUES, st.booleans(), st.sampled_from([{}, {"picture": "users.Id"}, {"user_id": "id"}]))
def test_no_record_stops_the_reading(record, is_table, given):
    names = FieldNames(given, is_table=is_table)
    for _ in range(2):
        for found in names.users(record):
            user(found)
    names.are_plain(record)
    assert isinstance(names.notes, tuple)
    with pytest.raises(UnreadableInputError):
        refuse_if_no_users([record], "u.json")


@pytest.mark.parametrize(
    "wrap",
    [lambda one: [one], lambda one: {"data": one}, lambda one: {"id": 1, "data": [one]}],
)
def test_what_is_nested_very_deeply_is_no_user(wrap):
    (found,) = FieldNames().users(reduce(lambda inside, _: wrap(inside), range(600), PERSON))
    assert not isinstance(found, dict) or "user_id" not in found


def test_a_very_long_key_means_nothing():
    key = "user_metadata" + "a" + "!" * 1_000_000 + "b"
    assert list(FieldNames().users({"user_id": "auth0|1", key: PICTURE})) != []


# Properties over made-up users

CROWD = [person.record for person in people(300, seed=3)]
SPELLINGS = [
    lambda name: name,
    str.upper,
    str.title,
    camel,
    lambda name: name.replace("_", " "),
    lambda name: name.replace("_", "-").title(),
    lambda name: name.replace("_", "__"),
]
NESTINGS = [lambda value: value, json.dumps, str, lambda value: json.dumps(json.dumps(value))]
WRAPPINGS = [
    lambda one: one,
    lambda one: {"type": "RECORD", "stream": "users", "record": one},
    lambda one: AROUND | {"_airbyte_data": json.dumps(one)},
    lambda one: {"_id": "1", "_source": one},
    lambda one: {"users": [one], "total": 1},
    lambda one: {"data": {"items": [one]}},
]


@given(
    st.sampled_from(CROWD),
    st.sampled_from(SPELLINGS),
    st.sampled_from(NESTINGS),
    st.sampled_from(WRAPPINGS),
    st.randoms(use_true_random=False),
)
def test_renamed_wrapped_and_shuffled_a_user_stays_the_same(
    record, spelled, nested, wrapped, random
):
    pairs = [
        (spelled(key), nested(value) if key in ("identities", "user_metadata") else value)
        for key, value in record.items()
    ]
    random.shuffle(pairs)
    (found,) = FieldNames().users(wrapped(dict(pairs)))
    assert user(found) == user(record)


@given(
    st.sampled_from([one for one in CROWD if isinstance(one.get("picture", ""), str)]),
    st.sampled_from(["_", ".", "/", "__"]),
)
def test_flattened_a_user_stays_the_same(record, joined):
    flat = {}

    def flatten(value, *way):
        if isinstance(value, dict):
            for key, one in value.items():
                flatten(one, *way, key)
        elif isinstance(value, list):
            for number, one in enumerate(value):
                flatten(one, *way, str(number))
        else:
            flat[joined.join(way)] = value

    flatten(record)
    (found,) = FieldNames().users(flat)
    assert user(found) == user(record)
