"""What people see as the picture of each user, in DuckDB's SQL: the one place that says it.

Coverage, findings, lists and previews all use the columns that `show` adds, so they cannot
disagree. Nobody's picture is their own where the link has expired, the address needs a token, or
many others have the same one. Of the others,

- `own` is what somebody uploaded for certain: a Gravatar that exists, or the address of a provider
  that has other addresses for its stock images. It stays theirs, whatever it shows;
- `on_word` may be a photo, drawn letters or a stock image: the address does not tell. That is so
  for the providers in `ON_WORD`, and for `custom` and `enterprise` pictures. Where somebody
  looked, `content` decides: a photo is `own`, all else a placeholder.

An override is judged by the same rules as the profile's picture.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from toolkit.analysis.groups import Seen
from toolkit.analysis.own_action import LivePolicy, Step
from toolkit.analysis.tenant_wiring import Wiring
from toolkit.classification.arrow import array, flag, text, texts, values_of, whole
from toolkit.classification.columnwise import classified
from toolkit.classification.sources import ON_WORD, RULES, TOKEN_ONLY, Source, addresses

NEEDED: Final = (
    *("source", "underlying", "provider", "fallback", "evidence", "expires_at", "gravatar_hash"),
    *("content", "connection", "picture", "metadata_picture", "elsewhere", "elsewhere_from"),
)
"""The columns of a snapshot that decide what people see."""

_BATCH: Final = 65_536  # overrides judged at a time
_SOMEBODYS: Final = "('social', 'enterprise', 'custom')"
_UPLOADED: Final = addresses(
    one for one in RULES if one.source is Source.SOCIAL and one.provider not in ON_WORD
)
_TOKEN: Final = "|".join(f"(?:{pattern})" for pattern in TOKEN_ONLY)

# A picture that ten users and one in a thousand users have is nobody's own. Hashes need only a few
# bytes for each picture.
_SHARED: Final = f"""
    SELECT digest FROM (
        SELECT hash(picture) AS digest FROM users
        WHERE picture IS NOT NULL AND coalesce(underlying, source) IN {_SOMEBODYS}
        UNION ALL
        SELECT hash(metadata_picture) FROM users
        WHERE metadata_picture IS NOT NULL AND source = 'metadata'
    )
    GROUP BY digest HAVING count(*) >= greatest(10, (SELECT count(*) / 1000 FROM users))
"""  # noqa: S608 - names of this module

_OVERRIDES: Final = """
    SELECT hash(metadata_picture) AS digest, any_value(metadata_picture) AS picture
    FROM users WHERE source = 'metadata' AND metadata_picture IS NOT NULL GROUP BY digest
"""

_KINDS: Final = ("initials", "placeholder", "unknown", "expired", "token", "on_word", "own")
_NO_PICTURE: Final = "('initials', 'placeholder', 'missing', 'invalid')"

# Numbers, because texts are ten times as slow: what is shown, times 16, and what people see.
_SIGHTS: Final = tuple(seen.value for seen in Seen)
_SHOWS: Final = ("profile", "override", "default", "fallback", "either", "careless", "elsewhere")
_SEEN: Final = "(told % 16)"
_CARELESS: Final = "careless"  # a script that replaces any picture

# What is known of each user: nothing of it depends on what the tenant's scripts do.
_JUDGED: Final = """
    SELECT *,
        CASE
            WHEN below IS NULL THEN {unknown}
            WHEN below = 'missing' THEN {none}
            WHEN below = 'invalid' THEN {broken}
            WHEN below = 'initials' THEN {initials}
            WHEN below = 'placeholder' THEN {placeholder}
            WHEN below = 'gravatar' THEN {own}
            -- A Gravatar that nobody can be asked for may have been looked at.
            WHEN below = 'unresolved'
                AND (source = 'metadata' OR evidence IS DISTINCT FROM 'pixels') THEN {unknown}
            WHEN late OR needs_token THEN {broken}
            WHEN coalesce(picture IN ({defaults}), false) THEN {default}
            WHEN is_shared THEN {placeholder}
            WHEN below = 'social' AND provider NOT IN ({providers}) AND CASE
                -- Below an override, `evidence` is of the override.
                WHEN source = 'metadata' THEN regexp_matches(picture, {uploaded}, 'i')
                ELSE evidence = 'url' END THEN {own}
            WHEN content IS NOT NULL AND NOT {of_override}
                THEN if(content = 'photo', {own}, {placeholder})
            ELSE {on_word}
        END AS told,
        CASE
            WHEN override_is IS NULL THEN {none}
            WHEN override_is = 'initials' THEN {initials}
            WHEN override_is = 'placeholder' THEN {placeholder}
            WHEN override_is = 'unknown' THEN {unknown}
            WHEN override_is IN ('expired', 'token') THEN {broken}
            WHEN coalesce(metadata_picture IN ({defaults}), false) THEN {default}
            WHEN {override_shared} THEN {placeholder}
            WHEN override_is = 'own' THEN {own}
            WHEN content IS NOT NULL AND {of_override}
                THEN if(content = 'photo', {own}, {placeholder})
            ELSE {on_word}
        END AS override_seen
    FROM (
        SELECT *,
            coalesce(underlying, nullif(source, 'metadata')) AS below,
            {late} AS late,
            -- No rule knows the hosts of these addresses, and a pattern is slow.
            CASE WHEN below IN {somebodys} AND picture IS NOT NULL
                AND (below <> 'social' OR source = 'metadata' OR coalesce(evidence, '') <> 'url')
                THEN regexp_matches(picture, {token}, 'i') ELSE false END AS needs_token,
            coalesce(below IN {somebodys} AND {shared}, false) AS is_shared,
            {override_is} AS override_is
        FROM users
    )
"""

_SHOWN: Final = f"""
    SELECT * EXCLUDE (override_seen, told),
        CASE told // 16 {{shows}} END AS shows,
        told // 16 IN (0, 4) AS from_profile,
        CASE {_SEEN} {{sights}} END AS sight
    FROM ({{rows}})
"""  # noqa: S608 - names of this module


def _told(shows: str, sight: str = "") -> str:
    """Return SQL for a number that stands for both; without a sight, that of the override."""
    place = 16 * _SHOWS.index(shows)
    return str(place + _SIGHTS.index(sight)) if sight else f"{place} + override_seen"


def show(
    opened: duckdb.DuckDBPyConnection,
    into: str,
    *,
    as_of: datetime | None,
    wiring: Wiring | bool | None,
    shared: Sequence[int] | None = None,
) -> None:
    """Create a view of the table `users` that says what people see.

    It has the columns of `users`, and besides
    - `sight`: a value of `toolkit.analysis.groups.Seen`;
    - `shows`: what is shown: `profile`; `override` (`user_metadata.picture`); `default` (of this
      tool's live Action); `fallback` (the profile's Gravatar, with that default behind it);
      `either` (the profile or the override, nobody knows); `careless` (a script may have
      replaced it); or `elsewhere` (a picture that the tenant holds elsewhere, by that Action);
    - `from_profile`: whether it is the profile's picture, or may be;
    - `below`: the source of the profile's picture, without any override, or null;
    - `late`, `needs_token`, `is_shared`: whether the profile's picture has expired, needs a token,
      is the same for many users;
    - `override_is`: what a usable override is: `own`, `on_word`, `unknown`, `initials`,
      `placeholder`, `expired` or `token`.

    Args:
        opened: a database with the table or view `users`, with the columns `NEEDED`.
        into: the name of the view.
        as_of: the time at which signed URLs have expired or not; without it none has.
        wiring: what sets the picture that applications see; or only whether it is the override;
            None if nothing is known. `content` is of the override where that is known to show, and
            else of the profile's picture.
        shared: the result of `shared_pictures` for all users, if `users` are only some of them.
    """
    digests = shared_pictures(opened) if shared is None else shared
    is_shared = "false"
    if digests:
        _store(opened, "shared", digest=array(np.array(digests, np.uint64)))
        is_shared = "hash({}) IN (SELECT digest FROM shared)"
    steps = list(_steps(wiring))
    overrides = wiring.override if isinstance(wiring, Wiring) else wiring
    policies = [step for step in steps if isinstance(step, LivePolicy)]
    rows = _JUDGED.format(
        defaults=_listed(name for one in policies for name in (one.picture, *one.former)),
        providers=_listed(sorted(ON_WORD)),
        uploaded=_quoted(_UPLOADED),
        of_override="source = 'metadata'" if overrides else "false",
        **{name: str(place) for place, name in enumerate(_SIGHTS)},
        late="false" if as_of is None else f"coalesce(expires_at < {_time(as_of)}, false)",
        shared=is_shared.format("picture"),
        override_shared=is_shared.format("metadata_picture"),
        somebodys=_SOMEBODYS,
        token=_quoted(_TOKEN),
        override_is=_override_is(opened, as_of),
    )
    for step in steps:
        rows = f"SELECT * REPLACE ({_after(step)} AS told) FROM ({rows})"  # noqa: S608 - built here
    names = {"shows": _SHOWS, "sights": _SIGHTS}
    cases = {
        name: " ".join(f"WHEN {place} THEN '{one}'" for place, one in enumerate(some))
        for name, some in names.items()
    }
    opened.execute(f"CREATE VIEW {into} AS {_SHOWN.format(rows=rows, **cases)}")


def shared_pictures(opened: duckdb.DuckDBPyConnection) -> list[int]:
    """Return the hashes of pictures that many of the table `users` have."""
    return [digest for (digest,) in opened.execute(_SHARED).fetchall()]


def _override_is(opened: duckdb.DuckDBPyConnection, as_of: datetime | None) -> str:
    """Judge every override by the rule table; return SQL for what that of a user is.

    A few bytes are kept for each different one.
    """
    digests, kinds = [np.zeros(0, np.uint64)], [np.zeros(0, np.int8)]
    now = pa.scalar(as_of or datetime(1970, 1, 1, tzinfo=UTC), pa.timestamp("ms", "UTC"))
    for batch in opened.sql(_OVERRIDES).to_arrow_reader(_BATCH):
        pictures = batch["picture"].cast(pa.string())
        nothing = pa.nulls(len(pictures), pa.string())
        verdicts = classified(pictures, nothing, nothing, nothing)
        source = whole(verdicts["source"])
        on_word = pc.is_in(whole(verdicts["provider"]), texts(sorted(ON_WORD)))
        kind = np.full(len(pictures), _KINDS.index("on_word"), np.int8)
        for name, rows in (  # the later ones decide
            ("own", pc.and_(pc.equal(source, text(Source.SOCIAL)), pc.invert(on_word))),
            ("token", pc.match_substring_regex(pictures, _TOKEN, ignore_case=True)),
            ("expired", pc.less(whole(verdicts["expires_at"]), now).fill_null(flag(False))),
            *((name, pc.equal(source, text(name))) for name in ("initials", "placeholder")),
            ("unknown", pc.equal(source, text(Source.UNRESOLVED.value))),
        ):
            kind[values_of(rows)] = _KINDS.index(name)
        kinds.append(kind)
        digests.append(values_of(batch["digest"]))
    found = np.concatenate(kinds)
    _store(opened, "overrides", digest=array(np.concatenate(digests)), kind=array(found))
    cases = " ".join(
        f"WHEN hash(metadata_picture) IN (SELECT digest FROM overrides WHERE kind = {place}) "  # noqa: S608 - numbers and names of this module
        f"THEN '{_KINDS[place]}'"
        for place in np.unique(found)
    )
    return f"CASE WHEN source <> 'metadata' THEN NULL {cases} ELSE 'on_word' END"


def _steps(wiring: Wiring | bool | None) -> Iterator[LivePolicy | str | bool | None]:
    """Yield what sets the picture, in the order in which it runs: the last one decides.

    Between two policies at most two steps are left, because each one makes the SQL twice as large,
    and a step does the same again.
    """
    if not isinstance(wiring, Wiring):
        yield wiring
        return
    left: list[str | bool | None] = []
    for one in wiring.running:
        if one.policy is not None:
            yield from left
            yield one.policy
            left = []
            continue
        for step in (_CARELESS, one.override) if one.careless else (one.override,):
            # What replaces any picture does nothing again before an override shows.
            replaced = left[left.index(_CARELESS) :] if _CARELESS in left else [True]
            again = step == _CARELESS and True not in replaced
            unsure = step is None and {True, None}.intersection(left)
            if step is not False and not again and not unsure:
                hidden = {step, None} if step is True else {step}
                left = [other for other in left if other not in hidden]
                left.append(step)
    if wiring.override is None and not {True, None}.intersection(left):
        left.append(None)
    yield from left


def _after(step: LivePolicy | str | bool | None) -> str:
    """Return SQL for `told` behind a step, from that of the steps before it."""
    if isinstance(step, LivePolicy):
        return _after_ours(step)
    mine = f"{_SEEN} <= 1"  # own, or perhaps
    if step == _CARELESS:
        return f"CASE WHEN {_SEEN} <= 2 THEN {_told('careless', 'unknown')} ELSE told END"
    if step:
        return f"""CASE
            WHEN source = 'metadata' THEN {_told("override")}
            WHEN {mine} AND trim(metadata_picture) <> '' THEN {_told("either", "unknown")}
            ELSE told END"""
    if step is None:
        return f"""CASE
            WHEN source <> 'metadata' OR override_seen = {_SEEN} THEN told
            WHEN {mine} AND override_seen <= 1 THEN {_told("either", "on_word")}
            ELSE {_told("either", "unknown")} END"""
    return "told"


def _after_ours(policy: LivePolicy) -> str:
    """Return SQL for what this tool's Action shows, as `toolkit/change/policy.js` decides it."""

    def meant(source: str) -> str:
        return "true" if policy.sources is None else f"{source} IN ({_listed(policy.sources)})"

    applies, mine = "true", _listed((policy.picture, *policy.former))
    if policy.connections is not None:
        applies = f"coalesce(connection IN ({_listed(policy.connections)}), false)"
    late = "late" if policy.expired else "false"
    # As the policy writes it into a Gravatar's address.
    former = " OR ".join(
        f"contains(picture, {_quoted(text)})"
        for one in policy.former
        for text in (one, quote(one, safe="!'()*"))
    )
    # What a Gravatar's address means: a Gravatar, unless it forces its fallback; and that.
    forced = "coalesce(evidence, '') = 'url' AND below <> 'unresolved'"
    fallback = meant("CASE fallback WHEN 'initials' THEN 'initials' ELSE 'placeholder' END")
    # The Action knows neither the login's identity nor what was seen in a picture.
    by_rule = meant("CASE WHEN evidence = 'identity' THEN 'custom' ELSE below END")
    own = f"""CASE
        WHEN gravatar_hash IS NOT NULL AND fallback IS NOT NULL THEN CASE
            WHEN fallback = 'custom' AND NOT ({former or "false"}) THEN told
            WHEN NOT ({meant("'unresolved'")} AND NOT ({forced}) OR {fallback}) THEN told
            WHEN below = 'gravatar' THEN {_told("fallback", "own")}
            WHEN below = 'unresolved' THEN {_told("fallback", "unknown")}
            ELSE {_told("default", "default")} END
        WHEN coalesce(picture IN ({_listed(policy.former)}), false) THEN
            CASE WHEN {meant("'placeholder'")} THEN {_told("default", "default")} ELSE told END
        WHEN needs_token THEN
            CASE WHEN {meant("'invalid'")} THEN {_told("default", "default")} ELSE told END
        WHEN ({late} OR below IN {_NO_PICTURE} AND coalesce(evidence, '') <> 'pixels')
            AND {by_rule} THEN {_told("default", "default")}
        ELSE told END"""
    ended = ", 'expired'" if policy.expired else ""
    cases = {
        Step.OVERRIDE: f"""WHEN override_is NOT IN ('initials', 'placeholder', 'token'{ended})
            AND metadata_picture NOT IN ({mine}) THEN {_told("override")}""",
        Step.OWN: f"""WHEN ({own}) = told
            AND coalesce(picture <> {_quoted(policy.picture)}, true) THEN told""",
        Step.ELSEWHERE: f"WHEN elsewhere NOT IN ({mine}) THEN {_told('elsewhere', 'on_word')}",
    }
    # The last `own` is what is left, too: without it the SQL is half as large.
    steps = policy.order[:-1] if policy.order[-1:] == (Step.OWN,) else policy.order
    order = " ".join(cases[step] for step in steps)
    return f"CASE WHEN NOT {applies} THEN told {order} ELSE {own} END"


def _store(opened: duckdb.DuckDBPyConnection, name: str, **columns: pa.Array) -> None:
    opened.register("stored", pa.table(columns))
    opened.execute(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM stored")  # noqa: S608 - a name of this module
    opened.unregister("stored")


def _time(moment: datetime) -> str:
    return f"TIMESTAMPTZ {_quoted(moment.isoformat())}"


def _listed(texts: Iterable[str]) -> str:
    return ", ".join(map(_quoted, texts)) or "NULL"


def _quoted(text: str) -> str:
    """Return a text as an SQL constant: a view can have no bound values."""
    return "'" + text.replace("'", "''") + "'"
