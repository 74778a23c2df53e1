"""Probing a snapshot: asking Gravatar which of its unresolved pictures exist, looking at pictures.

This sends hashes of e-mail addresses to another company and loads pictures from many, so it happens
only on request. A random sample, stratified by connection, costs a small part of everybody.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import pandas as pd
import platformdirs

from toolkit.analysis.estimate import Estimate, OwnEstimate, OwnStratum, Stratum, allocated
from toolkit.classification.frames import audit
from toolkit.classification.sources import (
    ON_WORD,
    RATING,
    Evidence,
    Fallback,
    Source,
    without_gravatar,
)
from toolkit.errors import IncompleteError
from toolkit.probing.answers import Answer, Cache, Question
from toolkit.probing.gravatar import RATE, asking
from toolkit.probing.picture_probe import (
    NOT_JUDGED,
    SANDBOX_RATE,
    duration,
    ensure_numbers,
    load,
    notice_of_pictures,
    own_sample,
    reach,
    tells_right,
)
from toolkit.progress import Progress, run
from toolkit.sandbox.picture_hosts import Hosts, hosts_of
from toolkit.snapshots.snapshot import Provenance, Snapshot, read_snapshot, writing

_COLUMNS = ("source", "underlying", "fallback", "evidence", "gravatar_hash", "picture")
# A sandbox's address may be another sandbox's tomorrow.
_SANDBOX_LIFETIME = timedelta(hours=1)
_LEFT_OPEN = (Source.SOCIAL, Source.ENTERPRISE, Source.CUSTOM, Source.UNRESOLVED)
_OTHERWISE = {kind.value: without_gravatar(kind).value for kind in Fallback}

_CLEAR = {Answer.PRESENT: True, Answer.ABSENT: False}

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

    A sample looks at other pictures, too: of as many users whose picture may be their own or not,
    drawn at random. Together they say how many people see a picture of their own, as `own_sample`
    of the provenance; whoever was looked at has `content`.

    Args:
        snapshot: one that was read from a file is replaced there.
        sample: how many users to ask about, drawn at random in proportion to the users of each
            connection; the rest is estimated. None asks about everybody, and loads no picture.
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
    ensure_numbers(sample, rate)
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
        chance = np.random.default_rng(seed)
        estimate = _estimated(snapshot, ask, sample, chance)
        strata, seen = own_sample(
            snapshot,
            sample,
            chance,
            lambda frame: load(frame, hosts, rate=rate, show=show),
            lambda frame: _exist(frame, ask),
        )
        # Where a script may replace any picture, nobody knows whether people see their Gravatar.
        wiring = snapshot.provenance.wiring
        blind = wiring is not None and any(one.careless for one in wiring.running)
        of_gravatars = (
            OwnStratum(one.connection, Source.UNRESOLVED, one.users, 0, 0)
            if blind
            else one.as_own()
            for one in estimate.strata
        )
        provenance = replace(
            snapshot.provenance,
            probed_at=datetime.now(UTC),
            estimate=estimate,
            own_sample=OwnEstimate((*of_gravatars, *strata)),
        )
        return _recorded(snapshot, provenance, seen)


def settle(
    snapshot: Snapshot, *, show: Callable[[Progress], None] | None = None
) -> Iterator[Snapshot]:
    """Ask Gravatar about everybody, then look at all pictures that may be people's own.

    Args:
        snapshot: as for `probe`.
        show: called with each `Progress`.

    Yields:
        The snapshot after each of the two steps; the second is left out where it has nothing to do.

    Raises:
        UnreachableError, OutputError: as `probe`.
    """
    found = probe(snapshot, show=show)
    yield found
    if on_word := found.coverage().on_word:
        yield probe(found, sample=on_word, show=show)


class Look(NamedTuple):
    """A snapshot with what its pictures show, and one row for each picture that was loaded."""

    snapshot: Snapshot
    pictures: pd.DataFrame


def look(
    snapshot: Snapshot,
    *,
    sample: int | None = None,
    rate: float | None = None,
    insecure: bool = False,
    seed: int = 1,
    show: Callable[[Progress], None] | None = None,
) -> Look:
    """Load pictures of any source, judge by their pixels what they show, and record that.

    Args:
        snapshot: one that was read from a file is replaced there. Whoever was looked at gets
            `content`, and where that is all that the verdict rests on, `evidence` `pixels`.
        sample: as for `reach`, and so are the others.
        rate: see there.
        insecure: see there.
        seed: see there.
        show: see there.

    Returns:
        The snapshot, and the result of `reach`. While known pictures are told wrong, nothing is
        recorded, and the snapshot's notes say so.

    Raises:
        SettingsError: `sample` or `rate` is no number of users or requests.
        OutputError: the snapshot cannot be written.
    """
    seen = reach(snapshot, sample=sample, rate=rate, insecure=insecure, seed=seed, show=show)
    recorded = _recorded(snapshot, snapshot.provenance, seen)
    if NOT_JUDGED in recorded.provenance.notes:
        seen = seen.assign(content=None)
    return Look(recorded, seen)


def notice(snapshot: Snapshot, *, sample: int | None = None, rate: float | None = None) -> str:
    """Say what a probe would send to whom, and how long it would take; "" for a sandbox."""
    snapshot.provenance.require_people()
    if snapshot.provenance.sandbox:
        return ""
    questions, users = _questions_of(snapshot)
    many = min(len(questions), sample or len(questions))
    pictures = f"\n{notice_of_pictures(snapshot, sample=sample, rate=rate)}" if sample else ""
    return (
        f"This asks gravatar.com (Automattic Inc.) for {many:,} hashes of e-mail addresses, of "
        f"{users:,} users in question, one by one: {duration(many / (rate or RATE))}. Gravatar "
        "learns this machine's address and which hashes somebody asked for; answers that are "
        "still known are not asked for again. Hashes of e-mail addresses are personal data."
        f"{pictures}"
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


def _questions_of(snapshot: Snapshot) -> tuple[list[Question], int]:
    """Return the questions about a snapshot, and for how many users they are."""
    questions: dict[Question, None] = {}
    users = 0
    for chunk in snapshot.chunks(_COLUMNS):
        asked = chunk[_open(chunk)]
        users += len(asked)
        questions |= dict.fromkeys(_questions(asked))
    return list(questions), users


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
    facts = {one: _CLEAR[answer] for one, answer in answers.items() if answer in _CLEAR}
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
        own_sample=None,
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
    # What was seen at that address was another picture.
    former = chunk.loc[clear, "underlying"].to_numpy(object)
    other = (former != verdict) & (former != Source.UNRESOLVED)
    settled.loc[clear[shown & other], "content"] = None
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


def _exist(frame: pd.DataFrame, ask: _Ask) -> list[bool | None]:
    """Say which Gravatars of a frame exist; None where there was no clear answer."""
    questions = _questions(frame)
    answers = ask(questions)
    return [_CLEAR.get(answers[one]) for one in questions]


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


def _recorded(snapshot: Snapshot, provenance: Provenance, seen: pd.DataFrame) -> Snapshot:
    """Write down what pictures show, unless known pictures are told wrong."""
    if not tells_right():
        notes = (*(note for note in provenance.notes if note != NOT_JUDGED), NOT_JUDGED)
        return _rewritten(snapshot, replace(provenance, own_sample=None, notes=notes))
    provenance = replace(
        provenance, notes=tuple(note for note in provenance.notes if note != NOT_JUDGED)
    )
    clear = seen[seen["content"].notna()]
    contents = dict(zip(clear["user_id"], clear["content"], strict=True))
    # Where an override is not shown, the source is about the override, and what was seen is about
    # the picture below it.
    left_open = [*_LEFT_OPEN, *([Source.METADATA] if snapshot.overrides else [])]
    return _rewritten(snapshot, provenance, lambda c: _with_contents(c, contents, left_open))


def _with_contents(
    chunk: pd.DataFrame, contents: Mapping[str, str], left_open: Sequence[Source]
) -> pd.DataFrame:
    found = chunk["user_id"].map(contents)
    known = found.notna()
    told = known & chunk["evidence"].isin([Evidence.URL, Evidence.IDENTITY])
    # Whether there is a Gravatar is for Gravatar to say.
    asked = (chunk["source"] == Source.UNRESOLVED) & chunk["gravatar_hash"].notna()
    told &= chunk["source"].isin(left_open) & ~asked
    # What somebody uploaded for certain, as `toolkit.analysis.shown_picture` says.
    certain = (chunk["source"] == Source.SOCIAL) & (chunk["evidence"] == Evidence.URL)
    told &= ~(certain & ~chunk["provider"].isin(ON_WORD))
    return chunk.assign(
        content=chunk["content"].astype(object).mask(known, found),
        evidence=chunk["evidence"].astype(object).mask(told, Evidence.PIXELS.value),
    )


def _estimated(snapshot: Snapshot, ask: _Ask, size: int, chance: np.random.Generator) -> Estimate:
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
    return Estimate(
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


def _unresolved(snapshot: Snapshot) -> Iterator[pd.DataFrame]:
    for chunk in snapshot.chunks((*_COLUMNS, "connection")):
        yield chunk[(chunk["source"] == Source.UNRESOLVED) & chunk["gravatar_hash"].notna()]


def _strata(chunk: pd.DataFrame) -> list[_Key]:
    connections = chunk["connection"].astype(object).where(chunk["connection"].notna(), None)
    otherwise = chunk["fallback"].map(_OTHERWISE)
    return [(name, Source(below)) for name, below in zip(connections, otherwise, strict=True)]
