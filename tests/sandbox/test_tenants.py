"""The made-up tenants: what is promised about them, and what `classify` makes of them."""

import csv
import gzip
import hashlib
import io
import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from toolkit.classification.sources import Source, classify, usable_override, without_gravatar
from toolkit.sandbox.made_up.names import initials
from toolkit.sandbox.made_up.rare_pictures import RARE
from toolkit.sandbox.made_up.tenants import NOW, Person, loadable, main, people, write

DATA = Path(__file__).parents[2] / "data"
GRAVATAR = re.compile(r"https://\w+\.gravatar\.com/avatar/([0-9a-f]+)\?")


@pytest.fixture(scope="module")
def tenant() -> list[Person]:
    return list(people())


def picture(person: Person) -> str:
    value = person.record.get("picture")
    return value if isinstance(value, str) else ""


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_the_committed_sample_is_what_the_generator_makes_today(tmp_path):
    write(tmp_path)

    fresh = gzip.decompress((tmp_path / "users.ndjson.gz").read_bytes())
    assert gzip.decompress((DATA / "users.ndjson.gz").read_bytes()) == fresh
    assert (DATA / "truth.csv").read_bytes() == (tmp_path / "truth.csv").read_bytes()
    assert (DATA / "users.ndjson.gz").stat().st_size < 700_000


def test_the_sample_names_truth_and_gravatar_for_each_of_its_users():
    users = gzip.decompress((DATA / "users.ndjson.gz").read_bytes()).decode().splitlines()
    table = list(csv.DictReader(io.StringIO((DATA / "truth.csv").read_text("utf-8"))))

    assert len(users) == len(table) == 5000
    for line, row in zip(users, table, strict=True):
        user = json.loads(line)
        assert user["user_id"] == row["user_id"]
        assert user.get("_gravatar", False) == (row["gravatar"] == "true")


def test_the_command_writes_both_files_and_refuses_anything_else(tmp_path, capsys):
    assert main([str(tmp_path)]) == 0
    assert {file.name for file in tmp_path.iterdir()} == {"users.ndjson.gz", "truth.csv"}
    assert main([]) == 2
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "usage" in capsys.readouterr().err


def test_a_larger_tenant_begins_with_the_smaller_one_and_keeps_its_proportions(tenant):
    assert list(people(300)) == tenant[:300]
    larger = Counter(person.truth for person in people(20_000))
    for source, users in Counter(person.truth for person in tenant).items():
        assert larger[source] / 20_000 == pytest.approx(users / 5000, rel=0.25, abs=0.003)


def test_another_seed_makes_other_people():
    ids = {person.record["user_id"] for person in people(500)}
    assert ids.isdisjoint(person.record["user_id"] for person in people(500, seed=2))


def test_people_come_one_at_a_time():
    assert len(list(islice(people(10**9), 10))) == 10


def test_nobody_and_a_time_before_the_tenant_existed_are_both_answered():
    assert list(people(0)) == []
    with pytest.raises(ValueError, match="2018-01-08"):
        next(people(1, now=datetime(2017, 1, 1, tzinfo=UTC)))


def test_ids_and_addresses_are_nobody_elses(tenant):
    ids = [person.record["user_id"] for person in tenant]
    addresses = [person.record["email"].lower() for person in tenant if "email" in person.record]
    accounts = [
        (identity["provider"], identity["connection"], identity["user_id"])
        for person in tenant
        for identity in person.record["identities"]
    ]
    for values in (ids, addresses, accounts):
        assert len(set(values)) == len(values)


def test_all_personal_data_is_in_reserved_domains_networks_and_numbers(tenant):
    mail = re.compile(r"@(?:[\w-]+\.)*(?:example|test|example\.(?:com|net|org))$", re.IGNORECASE)
    networks = re.compile(r"(?:192\.0\.2|198\.51\.100|203\.0\.113)\.\d{1,3}|2001:db8::[0-9a-f]+")
    for person in tenant:
        record = person.record
        profiles = [record, *(entry.get("profileData", {}) for entry in record["identities"])]
        for email in (profile["email"] for profile in profiles if "email" in profile):
            assert mail.search(email)
        assert networks.fullmatch(record.get("last_ip", "192.0.2.1"))
        assert re.fullmatch(r"\+1\d{3}55501\d\d", record.get("phone_number", "+12025550100"))


def test_picture_hosts_are_known_services_or_reserved(tenant):
    services = re.compile(
        r"(?:gravatar|auth0|wp|googleusercontent|fbsbx|facebook|githubusercontent|twimg|licdn"
        r"|discordapp|line-scdn|slack-edge|fbcdn|ui-avatars|dicebear|gstatic|amazonaws|github"
        r"|cdninstagram|vk|userapi|yimg|force|tiktokcdn|jtvnw|atl-paas)\.(?:com|net)"
        r"|(?:robohash\.org|avatar\.vercel\.sh|cravatar\.cn)$"
        r"|\.(?:example|test)|example\.(?:com|net|org)"
    )
    for person in tenant:
        metadata = person.record.get("user_metadata", {}).get("picture")
        for url in (picture(person), metadata):
            host = urlsplit(url).hostname if isinstance(url, str) else None
            assert host is None or services.search(host)


def test_truth_is_believable_and_every_source_but_unresolved_occurs(tenant):
    shares = {source: users / 50 for source, users in Counter(p.truth for p in tenant).items()}
    assert set(shares) == set(Source) - {Source.UNRESOLVED}
    assert 35 < shares[Source.SOCIAL] < 47
    assert 25 < shares[Source.INITIALS] < 40
    assert 9 < shares[Source.GRAVATAR] < 18
    assert 2.5 < shares[Source.METADATA] < 5
    assert all(shares[source] > 0.5 for source in shares)


def test_about_three_in_ten_gravatar_urls_have_a_gravatar(tenant):
    shaped = [person for person in tenant if GRAVATAR.match(picture(person))]
    assert 0.25 < sum(person.gravatar for person in shaped) / len(shaped) < 0.35
    assert not any(person.gravatar for person in tenant if not GRAVATAR.match(picture(person)))


def test_the_record_never_tells_the_truth(tenant):
    for person in tenant:
        assert "truth" not in person.record
        assert "_gravatar" not in person.record
        assert loadable(person) == person.record | ({"_gravatar": True} if person.gravatar else {})
        assert "_gravatar" not in person.record


def test_gravatar_hashes_are_of_the_email_except_where_it_changed_since(tenant):
    kinds = Counter()
    for person in tenant:
        found = GRAVATAR.match(picture(person))
        if found is None:
            continue
        email = person.record["email"].strip().lower()
        former = f"{person.record['nickname']}@former.example"
        kinds[
            {
                hashlib.md5(email.encode()).hexdigest(): "md5",
                hashlib.sha256(email.encode()).hexdigest(): "sha256",
                hashlib.md5(former.encode()).hexdigest(): "former",
            }[found.group(1)]
        ] += 1
    assert kinds["md5"] > 1500
    assert 20 < kinds["former"] < 100
    assert kinds["sha256"] > 3


def test_every_shape_of_picture_occurs(tenant):
    shapes = [
        r"https://s\.gravatar\.com/avatar/[0-9a-f]{32}\?s=480&r=pg&d=https%3A.+avatars%2F..\.png",
        r"https://secure\.gravatar\.com/avatar/[0-9a-f]{32}\?s=480&r=pg&d=.+avatars%2F..\.png",
        r"https://secure\.gravatar\.com/.+d=https%3A%2F%2Fssl\.gstatic\.com%2F.+80\.png",
        r"https://s\.gravatar\.com/.+&d=identicon",
        r"https://s\.gravatar\.com/.+&d=https%3A%2F%2Fstatic\.acme\.example%2Fimg%2Fface\.png",
        r"https://cdn\.auth0\.com/avatars/[a-z]{2}\.png",
        r"https://cdn\.auth0\.com/avatars/12\.png",
        r"https://i[012]\.wp\.com/cdn\.auth0\.com/avatars/..\.png\?ssl=1",
        r"https://i[012]\.wp\.com/cdn\.auth0\.com/avatars/..\.png",
        r"https://lh[3-6]\.googleusercontent\.com/-.{11}/AAAAAAAAAAI/AAAAAAAA.+/photo\.jpg",
        r"https://lh3\.googleusercontent\.com/-XdUIqdMkCWA/.+/photo\.jpg",
        r"https://lh3\.googleusercontent\.com/a-/AOh14G[^=]+=s96-c",
        r"https://lh3\.googleusercontent\.com/a/A[^=]+",
        r"https://lh3\.googleusercontent\.com/a/default-user=s96-c",
        r"https://avatars\d\.githubusercontent\.com/u/\d+\?v=3",
        r"https://avatars\.githubusercontent\.com/u/\d+\?v=4",
        r"https://platform-lookaside\.fbsbx\.com/.+&ext=\d{10}&hash=Ae.+",
        r"https://graph\.facebook\.com/v2\.5/\d+/picture\?type=large",
        r"https://scontent\.xx\.fbcdn\.net/.+&oe=[0-9A-F]{8}",
        r"https://static\.xx\.fbcdn\.net/rsrc\.php/.+",
        r"https://pbs\.twimg\.com/profile_images/\d+/.+_normal\.jpg",
        r"https://abs\.twimg\.com/sticky/default_profile_images/.+",
        r"https://media\.licdn\.com/dms/image/.+\?e=\d{10}&v=beta&t=.+",
        r"https://static\.licdn\.com/.+",
        r"https://profile\.line-scdn\.net/0h.+",
        r"https://cdn\.discordapp\.com/avatars/\d+/[0-9a-f]{32}\.png",
        r"https://cdn\.discordapp\.com/embed/avatars/\d\.png",
        r"https://avatars\.slack-edge\.com/.+",
        r"https://people\.acme\.example/photos/.+",
        r"https://assets\.example\.com/.+",
        r"http://.+",
        r"data:.+",
        r"javascript:.+",
        r"/uploads/.+",
        r"my photo",
    ]
    pictures = [picture(person) for person in tenant]
    missing = [shape for shape in shapes if not any(re.fullmatch(shape, p) for p in pictures)]
    assert missing == []

    odd = [person.record.get("picture", "") for person in tenant]
    assert None in odd
    assert any(isinstance(value, int) for value in odd)
    assert any("picture" not in person.record for person in tenant)


def test_a_rare_picture_is_told_by_its_address_and_by_one_row_only(tenant):
    occurred = set()
    for person in people(20_000):
        found = [row for row in RARE if re.match(row.pattern, picture(person))]
        occurred |= {row.pattern for row in found}
        assert len({(row.truth, row.kind, row.picture) for row in found}) <= 1, picture(person)
    assert occurred == {row.pattern for row in RARE}
    assert {row.kind for row in RARE} == {
        *("photo", "letters", "pattern", "silhouette", "plain", "nothing")
    }
    for login in {row.login for row in RARE}:
        assert sum(row.percent for row in RARE if row.login == login) <= 100


def test_overrides_are_usable_mostly_and_useless_in_every_way(tenant):
    metadata = [person.record.get("user_metadata", {}) for person in tenant]
    overrides = [entry["picture"] for entry in metadata if "picture" in entry]
    useless = [value for value in overrides if not usable_override(value)]
    ended = [value for value in overrides if usable_override(value) > usable_override(value, NOW)]
    assert ended
    assert 200 < len(overrides) < 300
    assert 0.15 < len(useless) / len(overrides) < 0.35
    assert {str(value)[:5] for value in useless} == {"", "None", "http:", "data:", "/uplo", "42"}
    assert any(len(entry) > 1 for entry in metadata if "picture" in entry)


def test_facebook_signs_for_thirty_days_and_many_signatures_have_run_out(tenant):
    expired = 0
    signed = [person for person in tenant if "fbsbx.com" in picture(person)]
    for person in signed:
        expiry = int(parse_qs(urlsplit(picture(person)).query)["ext"][0])
        login = moment(person.record["last_login"]).replace(microsecond=0)
        assert datetime.fromtimestamp(expiry, UTC) == login + timedelta(days=30)
        expired += datetime.fromtimestamp(expiry, UTC) < NOW
    assert 0.4 < expired / len(signed) < 0.9


def test_linkedin_pictures_run_out_and_some_came_expired(tenant):
    late = Counter(
        int(parse_qs(urlsplit(picture(person)).query)["e"][0])
        < moment(person.record["last_login"]).timestamp()
        for person in tenant
        if "media.licdn.com" in picture(person)
    )
    assert late[False] > late[True] > 0


def test_one_picture_is_shared_by_about_sixty_people(tenant):
    custom = Counter(picture(p) for p in tenant if p.truth is Source.CUSTOM)
    (_, users), (_, next_users) = custom.most_common(2)
    assert 40 < users < 80
    assert next_users == 1


def test_an_import_put_hundreds_of_people_into_a_few_milliseconds(tenant):
    created = Counter(person.record["created_at"] for person in tenant)
    crowded = {at: users for at, users in created.items() if users > 10}
    first, last = moment(min(crowded)), moment(max(crowded))
    assert 300 < sum(crowded.values()) < 450
    assert last - first < timedelta(milliseconds=10)
    assert max(crowded.values()) < 900


def test_people_came_more_every_year_and_time_runs_forward(tenant):
    years = Counter(int(person.record["created_at"][:4]) for person in tenant)
    assert set(years) == set(range(2018, 2027))
    assert years[2018] < years[2021] < years[2025]
    for person in tenant:
        record = person.record
        login = record.get("last_login", record["created_at"])
        assert record["created_at"] <= login <= record["updated_at"] <= "2026-11-20T12:00:00.000Z"
        assert ("last_login" in record) == ("logins_count" in record) == ("last_ip" in record)
    assert 50 < sum("last_login" not in person.record for person in tenant) < 250


def test_connections_are_believable(tenant):
    shares = Counter(person.record["identities"][0]["connection"] for person in tenant)
    assert 42 < shares["Username-Password-Authentication"] / 50 < 48
    assert 22 < shares["google-oauth2"] / 50 < 28
    assert set(shares) > {"facebook", "github", "linkedin", "twitter", "apple", "email", "sms"}
    assert set(shares) > {"corp-ad", "acme-saml", "discord"}
    for person in tenant:
        first = person.record["identities"][0]
        assert person.record["user_id"] == f"{first['provider']}|{first['user_id']}"


def test_some_have_linked_identities_with_pictures_of_their_own(tenant):
    further = [person.record["identities"][1:] for person in tenant]
    assert {len(linked) for linked in further} == {0, 1, 2}
    assert all("picture" in entry["profileData"] for linked in further for entry in linked)
    github = [e for p in tenant for e in p.record["identities"] if e["provider"] == "github"]
    assert all(isinstance(entry["user_id"], int) for entry in github)


def test_without_an_address_there_is_no_gravatar_url(tenant):
    assert not any(
        GRAVATAR.match(picture(person)) for person in tenant if "email" not in person.record
    )


def test_names_hold_the_traps_that_names_hold(tenant):
    names = [person.record["name"] for person in tenant]
    assert "<b>Bo</b>" in names
    assert any("🦊" in name for name in names)
    assert any(len(name) > 250 for name in names)
    assert any("\u0590" < name[0] < "\u06ff" for name in names)
    assert any(not person.record.get("email", "").isascii() for person in tenant)


@pytest.mark.parametrize(
    ("name", "email", "expected"),
    [
        ("Carl Sagan", None, "cs"),
        ("John3 Doe", "x@example.com", "jd"),
        ("dane.hermann", None, "da"),
        ("jan_johnston", None, "ja"),
        ("34@example.com", "34@example.com", "34"),
        ("+12025550100", None, "12"),
        ("Åsa Öberg", "asa@example.com", "as"),
    ],
)
def test_initials_follow_the_recorded_rule(name, email, expected):
    assert initials(name, email) == expected


def test_every_record_survives_json(tenant):
    for person in tenant:
        assert json.loads(json.dumps(loadable(person))) == loadable(person)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_classifier_agrees_with_the_truth_as_far_as_a_url_can_tell(seed):
    wrong = []
    for person in people(seed=seed):
        record = person.record
        first = record["identities"][0]
        verdict = classify(
            record.get("picture"),
            metadata_picture=record.get("user_metadata", {}).get("picture"),
            strategy=first["provider"],
            connection=first["connection"],
            at=NOW,
        )
        expected = {verdict.source}
        if verdict.source is Source.UNRESOLVED and verdict.fallback is None:
            expected = {Source.GRAVATAR, Source.PLACEHOLDER}
        elif verdict.source is Source.UNRESOLVED:
            expected = {Source.GRAVATAR if person.gravatar else without_gravatar(verdict.fallback)}
        if person.truth not in expected:
            wrong.append((person.truth, verdict.source, record.get("picture")))
    assert wrong == []
