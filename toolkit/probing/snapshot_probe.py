"""Probing a snapshot: asking Gravatar which of its unresolved pictures exist.

This sends hashes of e-mail addresses to another company, so it happens only on request.
A random sample, stratified by connection, costs a small part of asking about every user.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import platformdirs

from toolkit.analysis.estimate import Estimate, Stratum, allocated
from toolkit.classification.frames import audit
from toolkit.classification.sources import RATING, Evidence, Fallback, Source, without_gravatar
from toolkit.errors import IncompleteError, SettingsError
from toolkit.formatting import plural
from toolkit.probing.answers import Answer, Cache, Question
from toolkit.probing.gravatar import RATE, asking
from toolkit.probing.picture_reach import ReachSettings, reaching
from toolkit.progress import Progress, run
from toolkit.sandbox.picture_hosts import Hosts, hosts_of
from toolkit.snapshots.snapshot import Provenance, Snapshot, read_snapshot, writing

SANDBOX_RATE = 500.0
"""Requests a second to a sandbox."""

_COLUMNS = ("source", "underlying", "fallback", "evidence", "gravatar_hash", "picture")
# A sandbox's address may be another sandbox's tomorrow.
_SANDBOX_LIFETIME = timedelta(hours=1)
_OTHERWISE = {kind.value: without_gravatar(kind).value for kind in Fallback}

_Key = tuple[str | None, Source]
_Ask = Callable[[Sequence[Question]], Mapping[Question, Answer]]


def probe(
    snapshot: Snapshot,
    *,
    sample: int | None = None,
    rate: float | None = None,
    seed: int = 1,
    cache: Cache | None = None,
    show: Callable[[Progress], None] | None = None,
) -> Snapshot:
    """Ask Gravatar which unresolved pictures exist; sends it hashes of e-mail addresses.

    Args:
        snapshot: one that was read from a file is replaced there.
        sample: how many users to ask about, drawn at random in proportion to the users of each
            connection; the rest is estimated. None asks about everybody.
        rate: requests a second at most; by default 5, and more where a sandbox answers.
        seed: draws the same sample from the same snapshot.
        cache: answers that are known already; by default those in the user's cache folder.
        show: called with each `Progress`.

    Returns:
        The snapshot with the verdicts, or with the estimate in its provenance. Where
        Gravatar gave no clear answer a user stays `unresolved`, and the notes say how many.

    Raises:
        SettingsError: `sample` or `rate` is no number of users or requests.
        UnreachableError: nobody answers.
        OutputError: the snapshot or the cache cannot be written.
    """
    _ensure_numbers(sample, rate)
    with hosts_of(snapshot.provenance) as hosts, _kept(cache, hosts) as answers:
        pace = rate or (SANDBOX_RATE if hosts.sandbox else RATE)
        # A sandbox that is started again has another port, and the same people.
        name = snapshot.provenance.tenant if hosts.sandbox else None

        def ask(questions: Sequence[Question]) -> Mapping[Question, Answer]:
            base_url = hosts.gravatar
            steps = asking(questions, base_url=base_url, rate=pace, cache=answers, known_as=name)
            return run(steps, show)

        if sample is None:
            return _resolved(snapshot, ask)
        return _estimated(snapshot, ask, sample, np.random.default_rng(seed))


def notice(snapshot: Snapshot, *, sample: int | None = None, rate: float | None = None) -> str:
    """Say what a probe would send to whom, and how long it would take; "" for a sandbox."""
    snapshot.provenance.require_people()
    if snapshot.provenance.sandbox:
        return ""
    questions, users = _questions_of(snapshot)
    many = min(len(questions), sample or len(questions))
    return (
        f"This asks gravatar.com (Automattic Inc.) for {many:,} hashes of e-mail addresses, of "
        f"{users:,} users in question, one by one: {_duration(many / (rate or RATE))}. Gravatar "
        "learns this machine's address and which hashes somebody asked for; answers that are "
        "still known are not asked for again. Hashes of e-mail addresses are personal data."
    )


def notice_of_pictures(
    snapshot: Snapshot, *, sample: int | None = None, rate: float | None = None
) -> str:
    """Say what loading pictures would tell whom, and how long it takes; "" for a sandbox."""
    snapshot.provenance.require_people()
    if snapshot.provenance.sandbox:
        return ""
    users = sum(len(chunk) for chunk in _shown(snapshot))
    many = min(users, sample or users)
    duration = _duration(many / (rate or ReachSettings().rate))
    return (
        f"This loads up to {many:,} pictures from wherever they are, Gravatar, Google, Facebook "
        f"and hosts that users typed in: {duration}. Each of "
        "these hosts learns this machine's address and that somebody looked. Addresses inside "
        "your network are never asked."
    )


def ensure_clear(snapshot: Snapshot) -> None:
    """Raise IncompleteError if a probe left users unresolved; the message says how many."""
    estimate = snapshot.provenance.estimate
    if estimate is not None:
        unclear, what = estimate.unclear, "the interval allows for them"
    else:
        unclear = sum(int(_open_still(chunk).sum()) for chunk in snapshot.chunks(_COLUMNS))
        what = "they stay unresolved"
    if unclear:
        raise IncompleteError(
            f"{unclear:,} users' Gravatars got no clear answer; {what}. Gravatar was out of reach "
            "or busy, or a proxy or a login page answered for it.\n"
            "Run the same command again, from another network if need be: only those are asked for."
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
    """Check that pictures of any source load and are images.

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
        (`toolkit.images.address.Outcome`) and `reason`, which never repeats the address.

    Raises:
        SettingsError: `sample` or `rate` is no number of users or requests.
    """
    _ensure_numbers(sample, rate)
    frame = _drawn(snapshot, sample, np.random.default_rng(seed))
    usual = ReachSettings()
    with hosts_of(snapshot.provenance) as hosts:
        pace = rate or (SANDBOX_RATE if hosts.sandbox else usual.rate)
        settings = ReachSettings(
            rate=pace,
            rate_per_host=pace if hosts.sandbox else min(pace, usual.rate_per_host),
            exception=hosts.sandbox,
            insecure=insecure,
        )
        addresses = [hosts.address(one, insecure=insecure) for one in frame["shown"]]
        reached = run(reaching(addresses, settings), show)
    frame["outcome"] = [found.outcome.value for found in reached]
    frame["reason"] = [found.reason for found in reached]
    return frame.drop(columns="shown")


def outcomes(reached: pd.DataFrame) -> pd.DataFrame:
    """Count the users in the result of `reach`.

    Args:
        reached: one row for each user, with the columns `source` and `outcome`.

    Returns:
        One row for each source, a column of users for each outcome, the most frequent first,
        and `users`, their sum.
    """
    counts = pd.crosstab(reached["source"], reached["outcome"])
    counts = counts[counts.sum().sort_values(ascending=False, kind="stable").index]
    counts.columns.name = None
    counts.insert(0, "users", counts.sum(axis="columns"))
    return counts.sort_values("users", ascending=False, kind="stable").reset_index()


def _ensure_numbers(sample: int | None, rate: float | None) -> None:
    if (sample is not None and sample < 1) or (rate is not None and not 0 < rate < math.inf):
        raise SettingsError(
            "A sample is one user or more, a rate any finite number of requests a second above 0."
        )


def _questions_of(snapshot: Snapshot) -> tuple[list[Question], int]:
    """Return the questions about a snapshot, and for how many users they are."""
    questions: dict[Question, None] = {}
    users = 0
    for chunk in snapshot.chunks(_COLUMNS):
        asked = chunk[_open(chunk)]
        users += len(asked)
        questions |= dict.fromkeys(_questions(asked))
    return list(questions), users


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            return f"about {plural(round(seconds / size), unit)}"
    return "less than a minute"


@contextmanager
def _kept(cache: Cache | None, hosts: Hosts) -> Iterator[Cache]:
    if cache is not None:
        yield cache
        return
    if hosts.sandbox is None:
        own = Cache()
    else:
        folder = platformdirs.user_cache_path("picture-audit")
        own = Cache(folder / "sandbox.sqlite3", lifetime=_SANDBOX_LIFETIME)
    with own:
        yield own


def _resolved(snapshot: Snapshot, ask: _Ask) -> Snapshot:
    questions, users = _questions_of(snapshot)
    answers = ask(questions)
    present = {Answer.PRESENT: True, Answer.ABSENT: False}
    facts = {one: present[answer] for one, answer in answers.items() if answer in present}
    counts = Counter(answers.values())
    note = (
        f"asked for {len(questions):,} Gravatars of {users:,} users: "
        f"{counts[Answer.PRESENT]:,} exist, {counts[Answer.ABSENT]:,} do not, "
        f"{counts[Answer.UNCLEAR]:,} unclear"
    )
    provenance = replace(
        snapshot.provenance,
        probed_at=datetime.now(UTC),
        estimate=None,
        notes=(*snapshot.provenance.notes, note),
    )
    return _rewritten(snapshot, provenance, lambda chunk: _settled(chunk, facts))


def _settled(chunk: pd.DataFrame, facts: Mapping[Question, bool]) -> pd.DataFrame:
    """Return users with the verdicts that the answers give; the others stay as they were."""
    open_ = _open(chunk)
    found = pd.Series([facts.get(one) for one in _questions(chunk[open_])], dtype="boolean")
    clear = chunk.index[open_][found.notna()]
    present = found.dropna().astype(bool).to_numpy()
    settled = chunk.copy()
    otherwise = chunk.loc[clear, "fallback"].map(_OTHERWISE).to_numpy()
    verdict = np.where(present, Source.GRAVATAR.value, otherwise)
    settled.loc[clear, "underlying"] = verdict
    shown = (chunk.loc[clear, "source"] != Source.METADATA).to_numpy()
    settled.loc[clear[shown], "source"] = verdict[shown]
    settled.loc[clear[shown], "evidence"] = Evidence.PROBE.value
    return settled


def _open(chunk: pd.DataFrame) -> "pd.Series[bool]":
    """Whose Gravatar is unresolved, or was resolved by an earlier probe: people change theirs."""
    resolved = chunk["gravatar_hash"].notna() & (chunk["underlying"] != Source.UNRESOLVED)
    again = resolved & (chunk["evidence"] == Evidence.PROBE)
    # Where an override shows, `evidence` is about the override: the address tells whether the
    # picture below it needed a probe.
    hidden = resolved & (chunk["source"] == Source.METADATA)
    if hidden.any():
        untold = audit(chunk.loc[hidden, ["picture"]])["underlying"] == Source.UNRESOLVED
        again.loc[hidden] = untold.to_numpy(bool)
    return _open_still(chunk) | again


def _open_still(chunk: pd.DataFrame) -> "pd.Series[bool]":
    return (chunk["underlying"] == Source.UNRESOLVED) & chunk["gravatar_hash"].notna()


def _questions(chunk: pd.DataFrame) -> list[Question]:
    ratings = chunk["picture"].str.extract(RATING, expand=False).str.lower().fillna("g")
    return [Question(*pair) for pair in zip(chunk["gravatar_hash"], ratings, strict=True)]


def _rewritten(
    snapshot: Snapshot,
    provenance: Provenance,
    change: Callable[[pd.DataFrame], pd.DataFrame] = lambda chunk: chunk,
) -> Snapshot:
    """Change a snapshot, in its file where it has one."""
    if snapshot.path is None:
        return Snapshot(provenance, change(snapshot.users))
    if read_snapshot(snapshot.path).provenance.taken_at != provenance.taken_at:
        raise IncompleteError(
            f"{snapshot.path} was collected anew meanwhile and stays as it is. Run the same "
            "command again: what is known is not asked for again."
        )
    with writing(snapshot.path) as writer:
        for chunk in snapshot.chunks():
            writer.add(change(chunk))
        writer.finish(provenance)
    return read_snapshot(snapshot.path)


def _estimated(snapshot: Snapshot, ask: _Ask, size: int, chance: np.random.Generator) -> Snapshot:
    users = Counter[_Key]()
    for chunk in _unresolved(snapshot):
        users.update(_strata(chunk))
    strata = sorted(users, key=lambda one: (one[0] or "", one[1]))
    sizes = allocated([users[one] for one in strata], size)
    drawn = {
        one: frozenset(chance.choice(users[one], n, replace=False).tolist())
        for one, n in zip(strata, sizes, strict=True)
    }
    asked: list[tuple[_Key, Question]] = []
    seen = Counter[_Key]()
    for chunk in _unresolved(snapshot):
        for key, question in zip(_strata(chunk), _questions(chunk), strict=True):
            if seen[key] in drawn[key]:
                asked.append((key, question))
            seen[key] += 1
    answers = ask([question for _, question in asked])
    counts = Counter((key, answers[question]) for key, question in asked)
    estimate = Estimate(
        tuple(
            Stratum(
                *one,
                users[one],
                len(drawn[one]),
                counts[one, Answer.PRESENT],
                counts[one, Answer.UNCLEAR],
            )
            for one in strata
        )
    )
    provenance = replace(snapshot.provenance, probed_at=datetime.now(UTC), estimate=estimate)
    return _rewritten(snapshot, provenance)


def _unresolved(snapshot: Snapshot) -> Iterator[pd.DataFrame]:
    for chunk in snapshot.chunks((*_COLUMNS, "connection")):
        yield chunk[(chunk["source"] == Source.UNRESOLVED) & chunk["gravatar_hash"].notna()]


def _strata(chunk: pd.DataFrame) -> list[_Key]:
    connections = chunk["connection"].astype(object).where(chunk["connection"].notna(), None)
    otherwise = chunk["fallback"].map(_OTHERWISE)
    return [(name, Source(below)) for name, below in zip(connections, otherwise, strict=True)]


def _drawn(snapshot: Snapshot, sample: int | None, chance: np.random.Generator) -> pd.DataFrame:
    """Return `user_id`, `source` and `shown`, the address of the picture, of users drawn."""
    users = sum(len(chunk) for chunk in _shown(snapshot))
    drawn = np.ones(users, dtype=bool)
    if sample is not None and sample < users:
        drawn[:] = False
        drawn[chance.choice(users, sample, replace=False)] = True
    done, some = 0, []
    for chunk in _shown(snapshot):
        some.append(chunk[drawn[done : done + len(chunk)]])
        done += len(chunk)
    return pd.concat(some, ignore_index=True)


def _shown(snapshot: Snapshot) -> Iterator[pd.DataFrame]:
    """Yield the users who have a picture, and the address of what people see."""
    columns = ("user_id", "source", "picture", "metadata_picture")
    for chunk in snapshot.chunks(columns):
        overridden = (chunk["source"] == Source.METADATA) & bool(snapshot.overrides)
        shown = chunk["metadata_picture"].where(overridden, chunk["picture"])
        frame = chunk[["user_id", "source"]].assign(shown=shown)
        yield frame[shown.notna() & (shown.str.strip() != "")]
