"""Looking at pictures: told right, recorded, counted, and no host can stop or fool a run."""

import io
import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.conftest import settings_of
from tests.images.webhost import host, said, shown
from tests.truth import content_of, see_their_own
from toolkit.analysis import shown_picture
from toolkit.analysis.duckdb_engine import engine_with
from toolkit.analysis.tenant_wiring import Script, Setter, wiring
from toolkit.change.javascript import action_code
from toolkit.change.policy import Policy
from toolkit.classification.sources import Source
from toolkit.collection.collect_users import collect
from toolkit.images.content import Content
from toolkit.images.drawing import drawn, file_of
from toolkit.probing import picture_probe
from toolkit.probing.answers import Cache
from toolkit.probing.picture_probe import NOT_JUDGED, load, outcomes, reach, tells_right
from toolkit.probing.snapshot_probe import look, notice, probe
from toolkit.sandbox.made_up.tenants import loadable, people
from toolkit.sandbox.picture_hosts import Hosts
from toolkit.sandbox.server import Sandbox
from toolkit.snapshots.redaction import redact
from toolkit.snapshots.snapshot import Snapshot, read_snapshot
from toolkit.tenant.client import connect

USERS = 220


@pytest.fixture(scope="module")
def crowd():
    return list(people(USERS, seed=11))


@pytest.fixture
def snapshot(no_credentials, crowd, tmp_path):
    with (
        Sandbox([loadable(one) for one in crowd]) as sandbox,
        connect(settings_of(sandbox)) as tenant,
    ):
        yield collect(tenant, out=tmp_path / "s.parquet", method="search")


@pytest.fixture
def cache(tmp_path):
    with Cache(tmp_path / "cache" / "answers.sqlite3") as kept:
        yield kept


def test_what_people_see_is_told_as_it_is(snapshot, crowd):
    users = look(snapshot, insecure=True).snapshot.users.set_index("user_id")
    truth = {one.record["user_id"]: one.content for one in crowd}
    told = Counter()
    for user_id, content in users["content"].dropna().items():
        # What people would see if the tenant showed overrides is not what they see here.
        if users.loc[user_id, "source"] != Source.METADATA:
            told[truth[user_id] is not None and content == truth[user_id]] += 1
    assert told.total() > USERS / 2
    assert told[True] / told.total() > 0.97, told


def test_it_is_recorded_in_the_file_and_nothing_else_changes(snapshot):
    before = snapshot.users
    found = look(snapshot)
    after = read_snapshot(snapshot.path).users
    seen = after["content"].notna()
    assert set(after.loc[seen, "content"]) >= {"photo", "letters", "silhouette"}
    assert set(found.pictures.loc[found.pictures["content"].notna(), "user_id"]) == set(
        after.loc[seen, "user_id"]
    )
    kept = [name for name in before.columns if name not in {"content", "evidence"}]
    assert after[kept].equals(before[kept])
    pixels = after["evidence"] == "pixels"
    assert pixels.any()
    assert (pixels <= seen).all()
    # Of these, the pixels say nothing about the verdict: it is about another picture, Gravatar
    # says whether it exists, or the address tells that somebody uploaded it, or nobody.
    others = after["source"].isin(["metadata", "initials", "placeholder"])
    others |= after["gravatar_hash"].notna() | after["provider"].isin(["linkedin", "twitter"])
    assert (seen & others).sum() > 10
    assert not (pixels & others).any()


def test_a_gravatar_that_gravatar_was_asked_about_stays_its_evidence(snapshot, cache):
    probed = probe(snapshot, cache=cache)
    evidence = probed.users["evidence"]
    after = look(probed).snapshot.users["evidence"]
    assert (after[evidence == "probe"] == "probe").all()
    again = probe(read_snapshot(snapshot.path), cache=cache).users
    assert again["source"].equals(probed.users["source"])


def test_redaction_keeps_what_pictures_show(snapshot, tmp_path):
    seen = look(snapshot, sample=100).snapshot
    copy = redact(seen, tmp_path / "shared.parquet")
    counts = seen.users["content"].value_counts().to_dict()  # a copy has another order
    assert counts
    assert copy.users["content"].value_counts().to_dict() == counts


def test_a_sample_says_how_many_see_a_picture_of_their_own(no_credentials, tmp_path):
    crowd = list(people(800, seed=3))
    with (
        Sandbox([loadable(one) for one in crowd]) as sandbox,
        connect(settings_of(sandbox)) as tenant,
    ):
        snapshot = collect(tenant, method="search")
        assert snapshot.overrides is False
        own = sum(see_their_own(crowd, override=False, now=datetime.now(UTC)))
        held, widths = 0, []
        for seed in range(4, 8):
            with Cache(tmp_path / "answers.sqlite3") as cache:
                sample = probe(snapshot, sample=120, seed=seed, cache=cache).provenance.own_sample
            assert sample.asked <= 240
            held += sample.own.low <= own <= sample.own.high
            widths.append(sample.own.high - sample.own.low)
    assert held >= 3
    assert max(widths) < 0.25 * len(crowd)


def test_after_everybody_was_looked_at_only_pictures_that_do_not_load_are_open(
    snapshot, crowd, cache
):
    assert snapshot.overrides is False
    found = look(probe(snapshot, cache=cache), insecure=True)
    content = found.pictures.set_index("user_id")["content"]
    truth = see_their_own(crowd, override=False, now=snapshot.provenance.taken_at)
    with engine_with(found.snapshot.path) as opened:
        shown_picture.show(opened, "shown", as_of=snapshot.provenance.taken_at, wiring=False)
        sights = dict(opened.execute("SELECT user_id, sight FROM shown").fetchall())
    wrong = 0
    for one, own in zip(crowd, truth, strict=True):
        user_id = one.record["user_id"]
        sight, told = sights[user_id], content.get(user_id)
        if sight in {"on_word", "unknown"}:
            assert pd.isna(told), one.record
        elif own != (sight == "own"):
            assert told != content_of(one, override=False), one.record  # its pixels
            wrong += 1
    counted = found.snapshot.coverage().own
    still = sum(sight in {"on_word", "unknown"} for sight in sights.values())
    assert counted.high - counted.low == still < USERS / 10
    assert wrong <= USERS / 50
    assert counted.low - wrong <= sum(truth) <= counted.high + wrong


def test_the_sample_is_kept_with_the_snapshot_and_everybody_asked_leaves_none(snapshot, cache):
    sampled = probe(snapshot, sample=60, cache=cache)
    kept = read_snapshot(snapshot.path)
    assert kept.provenance.own_sample == sampled.provenance.own_sample
    values = json.loads(json.dumps(kept.summary()))["own_sample"]
    assert values["own"]["low"] <= values["own"]["middle"] <= values["own"]["high"]
    assert values["users"] > values["asked"] > 60
    assert kept.users["content"].notna().sum() > 20
    assert probe(kept, cache=cache).provenance.own_sample is None


def test_a_sample_says_nothing_of_people_whose_picture_a_script_may_replace(snapshot, cache):
    setter = Setter("action", "x", True, True, False, True, False)
    careless = replace(snapshot.provenance.wiring, setters=(setter,))
    facts = replace(snapshot.provenance, wiring=careless)
    assert any(one.careless for one in careless.running)
    sample = probe(Snapshot(facts, snapshot.users), sample=60, cache=cache).provenance.own_sample
    assert (sample.asked, sample.own.low, sample.own.high) == (0, 0, sample.users)
    assert sample.blind == sample.users > USERS / 2


def test_where_nobody_knows_whether_an_override_shows_no_look_tells(snapshot, cache):
    users = snapshot.users[snapshot.users["source"] == "metadata"]
    assert set(users["underlying"]) > {"social", "unresolved"}
    facts = replace(snapshot.provenance, wiring=None)
    sample = probe(Snapshot(facts, users), sample=60, cache=cache).provenance.own_sample
    assert sample.asked == 0
    assert sample.blind == sample.users > len(users) / 2


def test_a_picture_held_elsewhere_is_looked_at_where_it_shows_and_not_recorded(snapshot, cache):
    new = "https://assets.example.com/two.png"
    code = action_code(Policy(new, order=("own", "elsewhere")))
    wired = wiring([Script("action", "x", code, on=True)], snapshot.provenance.taken_at)
    users = snapshot.users
    stock = (users["source"] == "placeholder") & users["gravatar_hash"].isna()
    face = users.loc[users["provider"] == "google-oauth2", "picture"].iloc[0]
    users = users[stock].assign(elsewhere=face, elsewhere_from="linked:google-oauth2")
    facts = replace(snapshot.provenance, wiring=wired)
    sampled = probe(Snapshot(facts, users), sample=60, cache=cache)
    sample = sampled.provenance.own_sample
    assert sample.asked == sample.users == len(users) > 3
    assert sampled.users["content"].isna().all()


def test_a_sample_is_announced_with_both_that_it_asks(snapshot):
    real = type(snapshot)(replace(snapshot.provenance, sandbox=False), snapshot.users)
    said_ = notice(real, sample=50)
    assert "50 hashes" in said_
    assert "up to 50 pictures" in said_
    assert "pictures from wherever" not in notice(real)


def test_while_known_pictures_are_told_wrong_nothing_is_recorded(snapshot, cache, monkeypatch):
    assert tells_right()
    module = import_module("toolkit.probing.picture_reach")
    monkeypatch.setattr(module, "content_of", lambda _: Content.PHOTO)
    assert not tells_right()
    found = look(snapshot, sample=100)
    assert found.snapshot.users["content"].isna().all()
    assert found.pictures["content"].isna().all()
    assert found.snapshot.provenance.notes[-1] == NOT_JUDGED
    sampled = probe(read_snapshot(snapshot.path), sample=50, cache=cache)
    assert sampled.provenance.own_sample is None
    assert sampled.provenance.estimate is not None
    monkeypatch.undo()
    assert NOT_JUDGED not in look(sampled, sample=50).snapshot.provenance.notes


def bytes_of(image, kind, **options):
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


LETTERS = drawn(Content.LETTERS, "odd", 128).convert("RGB")


@pytest.mark.parametrize(
    ("body", "content"),
    [
        (bytes_of(LETTERS.convert("CMYK"), "JPEG"), "letters"),
        (bytes_of(LETTERS.quantize(8), "PNG"), "letters"),
        (bytes_of(LETTERS.convert("L"), "JPEG", progressive=True), "letters"),
        (bytes_of(LETTERS, "GIF", save_all=True, append_images=[LETTERS.rotate(90)]), "letters"),
        (bytes_of(LETTERS.resize((16, 16)), "GIF"), None),
        (bytes_of(Image.new("RGBA", (64, 64)), "PNG"), "plain"),
        (bytes_of(Image.new("P", (1, 1)), "GIF"), "plain"),
        (bytes_of(LETTERS, "PNG")[:300], None),
        (b"GIF89a", None),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', None),
        (b"\0\0\0\x18ftypavif" + b"\0" * 40, None),
    ],
)
def test_no_picture_stops_the_run_whatever_its_bytes(body, content):
    # A type that is wrong, as hosts send it.
    with host({"/odd": said(200, body, Content_Type="image/jpeg"), "/b": shown(b"no")}) as there:
        frame = pd.DataFrame({"user_id": ["a", "b"], "shown": [there.base_url + "/odd"] * 2})
        frame.loc[1, "shown"] = there.base_url + "/b"
        found = load(frame, Hosts(there.base_url), rate=1000, insecure=True)
    assert found["outcome"].tolist()[1] == "not an image"
    if content is not None:
        assert found["content"].tolist() == [content, None]


def looked_at(bodies):
    """Look at pictures that one host answers; return what is believed of each."""
    with host({path: shown(body) for path, body in bodies.items()}) as there:
        addresses = [there.base_url + path for path in bodies]
        frame = pd.DataFrame({"user_id": list(bodies), "shown": addresses})
        return load(frame, Hosts(there.base_url), rate=1000)["content"].tolist()


@pytest.mark.parametrize("content", [Content.LETTERS, Content.PHOTO])
def test_a_host_that_gives_the_same_to_everybody_is_not_believed(content):
    same = file_of(content, "liar", 96)
    assert looked_at({f"/{number}.png": same for number in range(5)}) == [None] * 5
    assert looked_at({f"/{number}.png": same for number in range(2)}) == [content] * 2


def test_a_photo_of_everybodys_is_not_believed_and_those_of_others_are():
    bodies = {f"/{number}.png": file_of(Content.PHOTO, "stock", 96) for number in range(5)}
    bodies["/own.png"] = file_of(Content.PHOTO, "own", 96)
    assert looked_at(bodies) == [None] * 5 + ["photo"]


def test_a_silhouette_may_be_the_same_for_all():
    same = file_of(Content.SILHOUETTE, "stock", 96)
    assert looked_at({f"/{number}.png": same for number in range(5)}) == ["silhouette"] * 5


def test_outcomes_count_what_was_seen():
    reached = pd.DataFrame(
        [
            ("a", "social", "shows", "", "photo"),
            ("b", "social", "shows", "", "letters"),
            ("c", "custom", "gone", "", None),
        ],
        columns=["user_id", "source", "outcome", "reason", "content"],
    )
    table = outcomes(reached).set_index("source")
    assert list(table.columns) == ["users", "shows", "gone", "photo", "letters"]
    assert table.loc["social"].tolist() == [2, 2, 0, 1, 1]
    assert table.loc["custom"].tolist() == [1, 0, 1, 0, 0]


def test_a_snapshot_without_pictures_has_no_own_sample_to_draw(snapshot):
    nobody = snapshot.users.assign(picture=None, metadata_picture=None, source="missing")
    nobody = Snapshot(snapshot.provenance, nobody.assign(underlying="missing"))
    strata, frame = picture_probe.own_sample(
        nobody, 10, np.random.default_rng(1), lambda f: load(f, Hosts()), lambda _: []
    )
    assert strata == []
    assert frame.empty
    assert reach(nobody).empty
