"""Looking at the pictures of a snapshot's users: loaded from wherever they are, judged by pixels.

What pixels tell is believed only while pictures with known answers are told right: drawn ones,
judged in the same run. A host that gives the same letters or the same photo to several people is
not believed either; a silhouette may well be the same for all.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pyarrow as pa

from toolkit.analysis import shown_picture
from toolkit.analysis.duckdb_engine import engine_with
from toolkit.analysis.estimate import OwnStratum, allocated
from toolkit.classification.schema import to_frame
from toolkit.classification.sources import Source
from toolkit.errors import SettingsError
from toolkit.formatting import plural
from toolkit.images.address import Outcome
from toolkit.images.content import Content
from toolkit.images.drawing import file_of
from toolkit.probing.picture_reach import Reach, ReachSettings, judged, reaching
from toolkit.progress import Progress, run
from toolkit.sandbox.picture_hosts import Hosts, hosts_of
from toolkit.snapshots.snapshot import Snapshot

SANDBOX_RATE = 500.0
"""Requests a second to a sandbox."""

NOT_JUDGED = "what the pictures show was not judged: known pictures were told wrong"
"""A note for a run in which the pixels are not believed."""

# Drawn pictures that are judged in each run: so many of each kind, and how many have to be right.
_KNOWN, _RIGHT = 10, 0.8
# So many people with the same bytes from one host: what it sends is nobody's own.
_SAME = 4
_PERSONAL = (Content.PHOTO, Content.LETTERS)
_CERTAIN = frozenset({Outcome.SHOWS, Outcome.GONE, Outcome.FORBIDDEN, Outcome.NOT_IMAGE})


def notice_of_pictures(
    snapshot: Snapshot, *, sample: int | None = None, rate: float | None = None
) -> str:
    """Say what loading pictures would tell whom, and how long it takes; "" for a sandbox."""
    snapshot.provenance.require_people()
    if snapshot.provenance.sandbox:
        return ""
    users = sum(len(chunk) for chunk in _shown(snapshot))
    many = min(users, sample or users)
    return (
        f"This loads up to {many:,} pictures from wherever they are, Gravatar, Google, Facebook "
        f"and hosts that users typed in: {duration(many / (rate or ReachSettings().rate))}. Each "
        "of these hosts learns this machine's address and that somebody looked. Addresses inside "
        "your network are never asked."
    )


def reach(
    snapshot: Snapshot,
    *,
    sample: int | None = None,
    rate: float | None = None,
    insecure: bool = False,
    seed: int = 1,
    show: Callable[[Progress], None] | None = None,
) -> pd.DataFrame:
    """Check that pictures of any source load and are images, and judge what they show.

    The addresses were typed by users: `toolkit.images.address` says which are asked. If
    the snapshot is of a sandbox, that sandbox answers for every host.

    Args:
        snapshot: its users' pictures, as people see them: overrides included where they work.
        sample: how many users, drawn at random; None for everybody.
        rate: requests a second at most; by default 5, and more for a sandbox.
        insecure: whether `http:` addresses are asked, too.
        seed: draws the same sample from the same snapshot.
        show: called with each `Progress`.

    Returns:
        One row for each user who was drawn and has a picture: `user_id`, `source`, `outcome`
        (`toolkit.images.address.Outcome`), `reason`, which never repeats the address, and
        `content` (`toolkit.images.content.Content`, or None where it was not seen).

    Raises:
        SettingsError: `sample` or `rate` is no number of users or requests.
    """
    ensure_numbers(sample, rate)
    frame = _drawn(snapshot, sample, np.random.default_rng(seed))
    with hosts_of(snapshot.provenance) as hosts:
        return load(frame, hosts, rate=rate, insecure=insecure, show=show)


def load(
    frame: pd.DataFrame,
    hosts: Hosts,
    *,
    rate: float | None = None,
    insecure: bool = False,
    show: Callable[[Progress], None] | None = None,
) -> pd.DataFrame:
    """Load pictures; return the frame with `outcome`, `reason` and `content` in place of `shown`.

    Args:
        frame: one row for each user; `shown` is the address of the picture that people see.
        hosts: where to ask.
        rate: as for `reach`, and so are the others.
        insecure: see there.
        show: see there.
    """
    usual = ReachSettings()
    pace = rate or (SANDBOX_RATE if hosts.sandbox else usual.rate)
    settings = ReachSettings(
        rate=pace,
        rate_per_host=pace if hosts.sandbox else min(pace, usual.rate_per_host),
        exception=hosts.sandbox,
        insecure=insecure,
    )
    addresses = [hosts.address(one, insecure=insecure) for one in frame["shown"]]
    reached = run(reaching(addresses, settings), show)
    frame = frame.assign(
        outcome=[found.outcome.value for found in reached],
        reason=[found.reason for found in reached],
        content=pd.Series(_believed(frame["shown"].tolist(), reached), frame.index, object),
    )
    return frame.drop(columns="shown")


def tells_right() -> bool:
    """Whether drawn pictures of every kind are told right, as PNG and as JPEG."""
    for content in Content:
        bodies = [
            file_of(content, f"known {number}", 96, kind)
            for number, kind in product(range(_KNOWN // 2), ("png", "jpeg"))
        ]
        if sum(judged(body) is content for body in bodies) < _RIGHT * _KNOWN:
            return False
    return True


def outcomes(reached: pd.DataFrame) -> pd.DataFrame:
    """Count the users in the result of `reach`.

    Args:
        reached: one row for each user, with the columns `source`, `outcome` and perhaps `content`.

    Returns:
        One row for each source; `users`; a column of users for each outcome, the most frequent
        first, and for each kind of content that was seen.
    """
    counts = pd.crosstab(reached["source"], reached["outcome"])
    counts = counts[counts.sum().sort_values(ascending=False, kind="stable").index]
    counts.columns.name = None
    counts.insert(0, "users", counts.sum(axis="columns"))
    if "content" in reached:
        for content in Content:
            shows = reached.loc[reached["content"] == content, "source"].value_counts()
            if len(shows):
                counts[str(content)] = shows.reindex(counts.index, fill_value=0)
    return counts.sort_values("users", ascending=False, kind="stable").reset_index()


def ensure_numbers(sample: int | None, rate: float | None) -> None:
    """Raise SettingsError if a sample or a rate is no number of users or requests."""
    if (sample is not None and sample < 1) or (rate is not None and not 0 < rate < math.inf):
        raise SettingsError(
            "A sample is one user or more, a rate any finite number of requests a second above 0."
        )


def duration(seconds: float) -> str:
    """Return a duration in words, roughly."""
    for size, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return f"about {plural(round(seconds / size), unit)}"
    return "less than a minute"


# --- One number for the tenant: whose picture is their own ----------------------

# How to find out whose picture is their own; null where it is known to be none. Unresolved
# Gravatars are left out: a sample of them is asked for anyway. Rows are in the snapshot's order.
_WAYS = """
    CREATE VIEW ways AS SELECT row_number() OVER () AS row, *,
        CASE shows WHEN 'override' THEN metadata_picture WHEN 'elsewhere' THEN elsewhere
            ELSE picture END AS address,
        CASE
            WHEN source = 'unresolved' AND gravatar_hash IS NOT NULL THEN NULL
            WHEN sight = 'own' THEN 'certain'
            WHEN sight NOT IN ('on_word', 'unknown') THEN NULL
            WHEN shows IN ('either', 'careless') OR (source = 'metadata' AND {unsure}) THEN 'none'
            WHEN sight = 'on_word' THEN 'look'
            WHEN below <> 'unresolved' OR below IS NULL OR shows = 'override' THEN 'none'
            WHEN gravatar_hash IS NULL THEN 'look'
            ELSE 'ask'
        END AS way
    FROM sights
"""
_USERS = "SELECT connection, source, way, count(*) FROM ways WHERE way IS NOT NULL GROUP BY ALL"
_DRAWN = """
    WITH placed AS (
        SELECT row, connection, source,
            row_number() OVER (PARTITION BY connection, source ORDER BY row) - 1 AS place
        FROM ways WHERE way IN ('look', 'ask')
    )
    SELECT user_id, connection, source, picture, gravatar_hash, shows, address AS shown, way
    FROM ways WHERE row IN (
        SELECT row FROM placed JOIN drawn ON placed.place = drawn.place
            AND placed.source = drawn.source
            AND placed.connection IS NOT DISTINCT FROM drawn.connection
    ) ORDER BY row
"""
_PLACES = pa.schema([("connection", pa.string()), ("source", pa.string()), ("place", pa.int64())])
_Key = tuple[str | None, Source]


def own_sample(
    snapshot: Snapshot,
    size: int,
    chance: np.random.Generator,
    look: Callable[[pd.DataFrame], pd.DataFrame],
    ask: Callable[[pd.DataFrame], Sequence[bool | None]],
) -> tuple[list[OwnStratum], pd.DataFrame]:
    """Find out about a sample of the pictures that may be people's own.

    Left out are users whose source is unresolved: Gravatar is asked about those. Pictures that are
    people's own for certain are counted. Where nobody knows which picture shows, no look tells.

    Args:
        snapshot: its users' pictures, as people see them.
        size: how many users to draw, in proportion to those of each connection and source.
        chance: draws them.
        look: loads the pictures of a frame with the column `shown`, as `load`.
        ask: says of a frame's Gravatars (`gravatar_hash`, `picture`) which exist.

    Returns:
        The strata, and the rows of `look` that say what a user's `content` is.
    """
    facts = snapshot.provenance
    users, known = Counter[_Key](), []
    with engine_with(snapshot.path or snapshot.users) as opened:
        shown_picture.show(opened, "sights", as_of=facts.taken_at, wiring=facts.wiring)
        unsure = "shows = 'profile'" if snapshot.overrides is None else "false"
        opened.execute(_WAYS.format(unsure=unsure))
        for connection, source, way, count in opened.execute(_USERS).fetchall():
            if way in {"look", "ask"}:
                users[connection, Source(source)] += count
            else:
                certain = way == "certain"
                known.append(OwnStratum(connection, Source(source), count, 0, 0, 0, certain))
        strata = sorted(users, key=_by_name)
        sizes = allocated([users[one] for one in strata], size)
        places = [
            (*one, place)
            for one, n in zip(strata, sizes, strict=True)
            for place in chance.choice(users[one], n, replace=False).tolist()
        ]
        columns = zip(*places, strict=True) if places else ([], [], [])
        opened.register("drawn", pa.table(list(map(list, columns)), schema=_PLACES))
        frame = to_frame(opened.sql(_DRAWN).to_arrow_table())
    asked, looked = frame[frame["way"] == "ask"], look(frame[frame["way"] == "look"])
    exist = pd.Series([*ask(asked)], asked.index, "boolean")
    own = (looked["outcome"] == Outcome.SHOWS) & (looked["content"] == Content.PHOTO)
    # A host that was out of reach, or a picture that was not decoded: nobody knows.
    unseen = (looked["outcome"] == Outcome.SHOWS) & looked["content"].isna()
    unclear = unseen | ~looked["outcome"].isin(_CERTAIN)
    present = Counter([*_keys(looked[own]), *_keys(asked[exist.fillna(False).astype(bool)])])
    unknown = Counter([*_keys(looked[unclear]), *_keys(asked[exist.isna()])])
    found = [
        OwnStratum(*one, users[one], n, present[one], unknown[one])
        for one, n in zip(strata, sizes, strict=True)
    ]
    known.sort(key=lambda one: (_by_name((one.connection, one.source)), one.certain))
    # `content` is of the override or of the profile's picture, as for `look`.
    overridden = (looked["source"] == Source.METADATA) & bool(snapshot.overrides)
    return [*found, *known], looked[looked["shows"] == np.where(overridden, "override", "profile")]


def _by_name(key: _Key) -> tuple[str, str]:
    return key[0] or "", key[1]


def _keys(frame: pd.DataFrame) -> list[_Key]:
    names = frame["connection"].astype(object).where(frame["connection"].notna(), None)
    return [(name, Source(source)) for name, source in zip(names, frame["source"], strict=True)]


# --- Which pictures, and which answers are believed -----------------------------


def _believed(addresses: Sequence[str], reached: Sequence[Reach]) -> list[str | None]:
    """Return what each picture shows, without what a host gives to everybody."""
    at: dict[tuple[str | None, bytes], set[str]] = defaultdict(set)
    hosts: dict[str | None, set[bytes]] = defaultdict(set)
    keys = [(_host(one), found.digest) for one, found in zip(addresses, reached, strict=True)]
    for key, address, found in zip(keys, addresses, reached, strict=True):
        if found.digest:
            at[key].add(address)
            hosts[key[0]].add(found.digest)
    contents: list[str | None] = []
    for key, found in zip(keys, reached, strict=True):
        content = found.content
        if content in _PERSONAL and len(at[key]) >= _SAME:
            # Letters may be the same for people of the same initials: not for everybody.
            everybody = len(hosts[key[0]]) == 1
            content = None if everybody or content is Content.PHOTO else content
        contents.append(content)
    return contents


def _host(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def _drawn(snapshot: Snapshot, sample: int | None, chance: np.random.Generator) -> pd.DataFrame:
    """Return the users drawn, as `_shown` yields them."""
    users = sum(len(chunk) for chunk in _shown(snapshot))
    drawn = np.ones(users, dtype=bool)
    if sample is not None and sample < users:
        drawn[:] = False
        drawn[chance.choice(users, sample, replace=False)] = True
    done, some = 0, []
    for chunk in _shown(snapshot):
        rows = chunk[drawn[done : done + len(chunk)]]
        some.append(rows)
        done += len(chunk)
    return pd.concat(some, ignore_index=True)


_COLUMNS = ("user_id", "source", "picture", "metadata_picture")


def _shown(snapshot: Snapshot) -> Iterator[pd.DataFrame]:
    """Yield `user_id`, `source` and `shown`, the picture's address, of users who have a picture.

    It is the override only where the tenant shows it.
    """
    for chunk in snapshot.chunks(_COLUMNS):
        overridden = (chunk["source"] == Source.METADATA) & bool(snapshot.overrides)
        shown = chunk["metadata_picture"].where(overridden, chunk["picture"])
        frame = chunk[["user_id", "source"]].assign(shown=shown)
        yield frame[shown.notna() & (shown.str.strip() != "")]
