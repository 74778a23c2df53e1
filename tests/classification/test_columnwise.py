import gzip
import json
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.classification.shapes import example_of
from toolkit.classification.columnwise import classified
from toolkit.classification.schema import CLASSIFICATION
from toolkit.classification.sources import RULES, SOCIAL_STRATEGIES, classify
from toolkit.classification.user_profile import user

POLICY = (
    b64encode(b'{"Statement":[{"Condition":{"DateLessThan":{"AWS:EpochTime":1700000000}}}]}')
    .decode()
    .replace("=", "_")
)
SAMPLE = Path(__file__).parents[2] / "data" / "users.ndjson.gz"
MD5, SHA256 = "324ad113b0ef6dabbb2c2c4cf8a8d10F", "aB" * 32
SIGNED = "Expires=1700000000&Signature=x&AWSAccessKeyId=y"  # until November 2023
HOSTS = sorted({host for rule in RULES for host in rule.hosts})
EXAMPLES = [example_of(rule) for rule in RULES]


@pytest.fixture(scope="module", params=[0, 200], ids=["all together", "few alone"], autouse=True)
def few(request):
    """How many are judged one by one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("toolkit.classification.columnwise._FEW", request.param)
        yield


def table(rows, at=None):
    """Classify rows of picture, override, strategy and connection at once."""
    columns = list(zip(*rows, strict=True)) or [()] * 4
    return classified(*(pa.array(column, pa.string()) for column in columns), at=at)


def rows_of(verdicts):
    return [{name: getattr(one, name) for name in CLASSIFICATION.names} for one in verdicts]


def one_by_one(rows, at=None):
    return rows_of(
        classify(
            picture, metadata_picture=override, strategy=strategy, connection=connection, at=at
        )
        for picture, override, strategy, connection in rows
    )


paths = st.sampled_from(
    [
        "",
        "/",
        *EXAMPLES,
        "/undefined/picture",
        "/null.png",
        "/a/NULL",
        "/nullable/none.jpgx",
        "/{{id}}",
        "/%5Bobject%20Object%5D",
        "/cdn.auth0.com",
        "/CDN.Auth0.com/avatars/te.png",
        "/i1.wp.com/cdn.auth0.com/avatars/te.png",
        "/ui-avatars.com/api/x",
        "/localhost/avatars/te.png",
        f"/www.gravatar.com/avatar/{MD5}",
        "/avatar.php",
        "/avatar/",
        "/avatar",
        f"/avatar/{'0' * 32}",
        "/avatar/D41D8CD98F00B204E9800998ecf8427e.jpg",
        f"/gravatar/{MD5}",
        f"/vp/{'a' * 32}/5CA4F5B5/t51.2885-19/x.jpg",
        f"/vp/{'a' * 32}/00000000/t51.2885-19/x.jpg",
        "/avatars/ab.png",
        f"/avatar/{MD5}",
        f"/avatar/{MD5}.jpg",
        f"/avatar/{MD5}/",
        f"/avatar/{MD5}0",
        f"/avatar/{SHA256}",
        f"/avatar/{SHA256}g",
        f"/avatar/{SHA256[:40]}",
        "/a/default-user=s96-c",
        "/a/default_user",
        "/-XdUIqdMkCWA/x",
        "/cdn.auth0.com/avatars/te.png",
        "/2020/img/avatars/ava_1.png",
        "//avatars/",
        "/./avatars/x",
        "\\avatars\\x",
        "/u/1\n",
        "/u/%41",
    ]
)
values = st.sampled_from(
    [
        "",
        "mp",
        "MM",
        "404",
        "y",
        "Yes",
        "n",
        "x",
        "0",
        "1700000000",
        "5FB9F3A0",
        "5fb9f3a0",
        "8589934591",
        "8589934592",
        "9999999999",
        "ffffffffff",
        "01700000000",
        "%31700000000",
        "1_0",
        "-1",
        "+1",
        " 1",
        "٣",
        "https%3A%2F%2Fcdn.auth0.com%2Favatars%2Fte.png",
        "https://cdn.auth0.com/avatars/te.png",
        "https%3A%2F%2Fssl.gstatic.com%2Fs2%2Fprofiles%2Fimages%2Fsilhouette80.png",
        "https%3A%2F%2Fi1.wp.com%2Fcdn.auth0.com%2Favatars%2Fte.png",
        MD5,
        "20250101T000000Z",
        "20240229T235959Z",
        "20250229T000000Z",
        "20251301T246060Z",
        "604800",
        "6048001",
        "2025-01-01T00:00:00Z",
        "2025-01-01",
        "2025-02-29",
        POLICY,
        "https%3A%2F%2Fexample.com%2F%3Fcdn.auth0.com",
        "http%3A//x",
        "a=b",
        "a?b",
        "a/b",
    ]
)
names = st.sampled_from(
    [
        *["d", "default", "f", "forcedefault", "ext", "oe", "e", "s", "%65", "+e", "E", "xext", ""],
        *["gravatar_id", "x-expires", "Expires", "ex", "se", "sig", "Policy", "Key-Pair-Id"],
        *["X-Amz-Date", "X-Amz-Expires", "x-goog-expires", "X-Goog-Date", "AWSAccessKeyId"],
    ]
)
queries = st.lists(
    st.tuples(names, st.sampled_from(["=", "", "=="]), values).map("".join), max_size=4
).map("&".join)
hosts = st.one_of(
    st.sampled_from(HOSTS),
    st.sampled_from(HOSTS).map("s.{}".format),
    st.sampled_from(HOSTS).map("evil{}".format),
    st.sampled_from(HOSTS).map("{}.evil.example".format),
    st.sampled_from(HOSTS).map(str.upper),
    st.sampled_from(HOSTS).map("{}.".format),
    st.sampled_from(HOSTS).map("{}:443".format),
    st.sampled_from(HOSTS).map("u:p@{}".format),
    st.sampled_from(["", ".", "-", "a..b", "x.example", "exa mple", "münchen.example", "[::1]"]),
    st.sampled_from(["i0.wp.com", "i1.wp.com", "i2.wp.com", "i3.wp.com", "undefined", "null"]),
    st.sampled_from(["cdn%2Eauth0.com", "x_y.example", "x|y", "x:y", "x:99999", "*", "1.2.3.4"]),
)
built = st.builds(
    "{}{}{}{}{}{}{}".format,
    st.sampled_from(["", "", "", " ", "\t", "\x00", "x"]),
    st.sampled_from(
        ["https://", "https://", "http://", "HTTPS://", "https:/", "https:\\\\", "ht\ntps://", "//"]
    ),
    hosts,
    paths,
    st.sampled_from(["?", "", "??", "#?", "/?"]),
    queries,
    st.sampled_from(["", "", "", "#", "#x?f=y", "\n", " ", "&", "é", "\x7f"]),
)
urls = st.one_of(
    st.none(),
    built,
    built,
    st.text(st.characters(codec="utf-8")),
    st.text("htps:/\\?#@%.[] \n\tA", max_size=30),
    st.sampled_from(
        ["data:image/png,", "Data:image/svg+xml;x,y", "data:image/png;base64,a b", "d", "\\\\a.b/c"]
    ),
    st.sampled_from(
        ["da\nta:image/png,x", "/\t/cdn.auth0.com/avatars/", "//x", "data:text/html,x"]
    ),
    st.sampled_from(["", " ", "data:image/png;base64,AAAA", "Https", "h", "/a.png", "\ufeff"]),
)
strategies = st.sampled_from(
    [None, "", "auth0", "google-oauth2", "samlp", "oauth2", "oauth1", "new", "query"]
)
connections = st.sampled_from([None, "", "db", "discord", "gravatar.com"])


moments = st.none() | st.sampled_from([1, 1700000000, 1736294400, 2**31]).map(
    lambda seconds: datetime.fromtimestamp(seconds, UTC)
)


@given(st.lists(st.tuples(urls, urls, strategies, connections)), moments)
@example([], None)
@example([(f"https://gravatar.com/avatar/{SHA256}?f=y", None, None, None)], None)
@example(
    [(None, f"https://x.example/a?{SIGNED}", None, None)] * 2, datetime(2023, 1, 1, tzinfo=UTC)
)
@example(
    [(None, f"https://x.example/a?{SIGNED}", None, None)] * 2, datetime(2024, 1, 1, tzinfo=UTC)
)
def test_a_column_is_classified_as_each_of_its_rows_would_be(rows, at):
    found = table(rows, at)
    assert found.schema.equals(CLASSIFICATION)
    assert found.to_pylist() == one_by_one(rows, at)


SIGNATURES = [
    "X-Amz-Date=20250101T000000Z&X-Amz-Expires=604800",
    "x-amz-expires=1&X-AMZ-DATE=20251231T235959Z",
    "X-Goog-Date=20240229T120000Z&X-Goog-Expires=3600",
    "X-Amz-Date=20250229T000000Z&X-Amz-Expires=60",
    "X-Amz-Date=20250101T250000Z&X-Amz-Expires=60",
    "X-Amz-Date=20250101T000000Z&X-Goog-Expires=60",
    "X-Amz-Date=20250101T000000Z&X-Amz-Expires=0",
    "X-Amz-Date=20250101T000000Z&X-Amz-Expires=6048001",
    "X-Amz-Date=20250101T000000Z&X-Amz-Expires=60&X-Amz-Expires=61",
    "X-%41mz-Date=20250101T000000Z&X-Amz-Expires=60",
    "x?X-Amz-Date=20250101T000000Z&X-Amz-Expires=60",
    SIGNED,
    "Expires=1700000000",
    f"Policy={POLICY}&Key-Pair-Id=x",
    "se=2025-01-01T00:00:00Z&sig=x",
]


@pytest.mark.parametrize("host", ["x.example", "cdn.auth0.com", "lh3.googleusercontent.com"])
def test_columns_read_every_signature_as_it_is_read_alone(host):
    rows = [(f"https://{host}/a/b?{query}", None, "auth0", "db") for query in SIGNATURES]
    assert table(rows).to_pylist() == one_by_one(rows)


def test_the_embedded_tenant_is_classified_as_each_of_its_users_would_be():
    with gzip.open(SAMPLE) as lines:
        users = [user(json.loads(line)) for line in lines]
    rows = [(one.picture, one.metadata_picture, one.strategy, one.connection) for one in users]
    assert table(rows).to_pylist() == one_by_one(rows)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.hosts[0]}{rule.path}")
def test_every_rule_is_known_to_the_columns(rule):
    """A new row of the table needs no word here or in the classifier."""
    rows = [
        (f"https://{host}{path}{tail}", None, "samlp", "c")
        for name in rule.hosts
        for host in (name, f"a.{name}", f"a{name}")
        for path in {"/", example_of(rule)}
        for tail in ("", "x", MD5, SHA256, "default-user", "?ext=1&oe=1&e=1")
    ]
    assert table(rows).to_pylist() == one_by_one(rows)


def test_slices_of_columns_are_columns():
    url = f"https://s.gravatar.com/avatar/{MD5}?d=mp"
    columns = [
        pa.array(column, pa.string()).slice(2, 3)
        for column in (["x", "é", url, None, "data:,"], [None] * 5, ["auth0"] * 5, ["db"] * 5)
    ]
    expected = one_by_one([(one, None, "auth0", "db") for one in (url, None, "data:,")])
    assert classified(*columns).to_pylist() == expected


def test_what_is_remembered_of_one_column_does_not_grow_without_end(monkeypatch):
    monkeypatch.setattr("toolkit.classification.columnwise._REMEMBERED", 10)
    rows = [
        (f"https://gravatar.com/avatar/{MD5}?d=https://x.example/{number}", None, None, None)
        for number in range(50)
    ] + [("https://x.example/", None, strategy, None) for strategy in SOCIAL_STRATEGIES]
    assert table(rows).to_pylist() == one_by_one(rows)


def test_a_host_of_many_labels_takes_no_longer_than_its_length():
    labels = "a." * 200_000
    rows = [
        (f"https://{host}/avatar/{MD5}", None, "samlp", None)
        for host in (f"{labels}gravatar.com", f"{labels}example.com", "..gravatar.com", "..", ".")
    ]
    assert table(rows).to_pylist() == one_by_one(rows)
