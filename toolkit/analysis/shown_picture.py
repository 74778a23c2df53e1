"""What people see as the picture of each user, in DuckDB's SQL: the one place that says it.

Coverage, findings, lists and previews all use the columns that `show` adds, so they cannot
disagree. A picture is the user's own only if nothing speaks against it: an expired link, an address
that needs a token, letters that were seen in it, many others with the same address. An override is
judged by the same rules as the profile's picture.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from toolkit.analysis.own_action import LivePolicy
from toolkit.analysis.tenant_wiring import Setter, Wiring
from toolkit.classification.arrow import array, values_of
from toolkit.classification.columnwise import classified
from toolkit.classification.sources import ON_WORD, TOKEN_ONLY, Source

NEEDED: Final = (
    *("source", "underlying", "provider", "fallback", "evidence", "expires_at", "gravatar_hash"),
    *("content", "connection", "picture", "metadata_picture"),
)
"""The columns of a snapshot that decide what people see."""

_BATCH: Final = 65_536  # overrides judged at a time
_SOMEBODYS: Final = "('social', 'enterprise', 'custom')"
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
_OWN: Final = "('own', 'on_word')"

# What is known of each user: nothing of it depends on what the tenant's scripts do.
_JUDGED: Final = """
    SELECT *,
        CASE
            WHEN below IS NULL THEN 'unknown'
            WHEN below = 'missing' THEN 'none'
            WHEN below = 'invalid' THEN 'broken'
            WHEN below IN ('initials', 'placeholder') THEN below
            WHEN below = 'unresolved' THEN 'unknown'
            WHEN late OR needs_token THEN 'broken'
            WHEN coalesce(picture IN ({defaults}), false) THEN 'default'
            WHEN is_shared THEN 'placeholder'
            WHEN provider IN ({on_word}) THEN 'on_word'
            ELSE 'own'
        END AS root_seen,
        CASE
            WHEN override_is IN ('initials', 'placeholder', 'unknown') THEN override_is
            WHEN override_is IN ('expired', 'token') THEN 'broken'
            WHEN coalesce(metadata_picture IN ({defaults}), false) THEN 'default'
            WHEN {override_shared} THEN 'placeholder'
            ELSE override_is
        END AS override_seen,
        'profile/' || root_seen AS told
    FROM (
        SELECT *,
            coalesce(underlying, nullif(source, 'metadata')) AS below,
            {late} AS late,
            CASE WHEN below IN {somebodys} AND picture IS NOT NULL
                THEN regexp_matches(picture, {token}, 'i') ELSE false END AS needs_token,
            coalesce(below IN {somebodys} AND {shared}, false) AS is_shared,
            {override_is} AS override_is
        FROM users
    )
"""

# What was seen in a picture counts more than what its provider says.
_SEEN: Final = """
    SELECT * EXCLUDE (root_seen, override_seen, told),
        split_part(told, '/', 1) AS shows,
        CASE
            WHEN split_part(told, '/', 2) NOT IN ('own', 'on_word') THEN split_part(told, '/', 2)
            WHEN content IN ('letters', 'pattern', 'silhouette', 'plain') THEN 'placeholder'
            WHEN content = 'photo' THEN 'own'
            ELSE split_part(told, '/', 2)
        END AS sight
    FROM ({})
"""


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
      `either` (the profile or the override, nobody knows); or `careless` (a script may have
      replaced it);
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
            None if nothing is known.
        shared: the result of `shared_pictures` for all users, if `users` are only some of them.
    """
    digests = shared_pictures(opened) if shared is None else shared
    is_shared = "false"
    if digests:
        _store(opened, "shared", digest=array(np.array(digests, np.uint64)))
        is_shared = "hash({}) IN (SELECT digest FROM shared)"
    steps = list(_steps(wiring))
    policies = [step for step in steps if isinstance(step, LivePolicy)]
    rows = _JUDGED.format(
        defaults=_listed(name for one in policies for name in (one.picture, *one.former)),
        on_word=_listed(sorted(ON_WORD)),
        late="false" if as_of is None else f"coalesce(expires_at < {_time(as_of)}, false)",
        shared=is_shared.format("picture"),
        override_shared=is_shared.format("metadata_picture"),
        somebodys=_SOMEBODYS,
        token=_quoted(_TOKEN),
        override_is=_override_is(opened, as_of),
    )
    for step in steps:
        rows = f"SELECT * REPLACE ({_after(step)} AS told) FROM ({rows})"  # noqa: S608 - built here
    opened.execute(f"CREATE VIEW {into} AS {_SEEN.format(rows)}")


def shared_pictures(opened: duckdb.DuckDBPyConnection) -> list[int]:
    """Return the hashes of pictures that many of the table `users` have."""
    return [digest for (digest,) in opened.execute(_SHARED).fetchall()]


def _override_is(opened: duckdb.DuckDBPyConnection, as_of: datetime | None) -> str:
    """Judge every override by the rule table; return SQL for what that of a user is.

    A few bytes are kept for each different one.
    """
    digests, kinds = [np.zeros(0, np.uint64)], [np.zeros(0, np.int8)]
    for batch in opened.sql(_OVERRIDES).to_arrow_reader(_BATCH):
        pictures = batch["picture"].cast(pa.string())
        nothing = pa.nulls(len(pictures), pa.string())
        verdicts = classified(pictures, nothing, nothing, nothing)
        tokens = pc.match_substring_regex(pictures, _TOKEN, ignore_case=True)
        told = zip(verdicts.to_pylist(), tokens.to_pylist(), strict=True)
        found = [_KINDS.index(_kind(one, as_of, token=token)) for one, token in told]
        kinds.append(np.array(found, np.int8))
        digests.append(values_of(batch["digest"]))
    kind = np.concatenate(kinds)
    _store(opened, "overrides", digest=array(np.concatenate(digests)), kind=array(kind))
    cases = " ".join(
        f"WHEN hash(metadata_picture) IN (SELECT digest FROM overrides WHERE kind = {place}) "  # noqa: S608 - numbers and names of this module
        f"THEN '{_KINDS[place]}'"
        for place in sorted(set(kind.tolist()))
    )
    return f"CASE WHEN source <> 'metadata' THEN NULL {cases} ELSE 'own' END"


def _kind(verdict: Mapping[str, Any], as_of: datetime | None, *, token: bool) -> str:
    source, expires = verdict["source"], verdict["expires_at"]
    if source == Source.UNRESOLVED:
        return "unknown"
    if source in {Source.INITIALS, Source.PLACEHOLDER}:
        return str(source)
    if expires is not None and as_of is not None and expires < as_of:
        return "expired"
    return "token" if token else "on_word" if verdict["provider"] in ON_WORD else "own"


def _steps(wiring: Wiring | bool | None) -> Iterator[LivePolicy | Setter | bool | None]:
    """Yield what sets the picture, in the order in which it runs: the last one decides."""
    if not isinstance(wiring, Wiring):
        yield wiring
        return
    for one in wiring.running:
        yield one.policy or one
    if wiring.override is None:
        yield None


def _after(step: LivePolicy | Setter | bool | None) -> str:
    """Return SQL for `shows/sight` behind a step, from `told`, that of the steps before it."""
    if isinstance(step, LivePolicy):
        return _after_ours(step)
    override = step.override if isinstance(step, Setter) else step
    seen, replaced = "split_part(told, '/', 2)", "false"
    if isinstance(step, Setter) and step.careless:
        replaced = f"{seen} IN {_OWN}"
    shown = f"CASE WHEN {replaced} THEN 'careless/unknown' ELSE told END"
    if override:
        return f"""CASE
            WHEN source = 'metadata' THEN 'override/' || override_seen
            WHEN {seen} IN {_OWN} AND trim(metadata_picture) <> '' THEN 'either/unknown'
            ELSE {shown} END"""
    if override is None:
        return f"""CASE
            WHEN source <> 'metadata' OR override_seen = {seen} THEN {shown}
            WHEN {seen} IN {_OWN} AND override_seen IN {_OWN} THEN 'either/on_word'
            ELSE 'either/unknown' END"""
    return shown


def _after_ours(policy: LivePolicy) -> str:
    """Return SQL for what this tool's Action shows, as `toolkit/change/policy.js` decides it."""

    def meant(source: str) -> str:
        return "true" if policy.sources is None else f"{source} IN ({_listed(policy.sources)})"

    applies, wins = "true", "false"
    if policy.connections is not None:
        applies = f"coalesce(connection IN ({_listed(policy.connections)}), false)"
    if policy.override:
        ended = " AND override_is <> 'expired'" if policy.expired else ""
        wins = f"""coalesce(override_is NOT IN ('initials', 'placeholder'){ended}
            AND metadata_picture NOT IN ({_listed((policy.picture, *policy.former))}), false)"""
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
    return f"""CASE
        WHEN NOT {applies} THEN told
        WHEN {wins} THEN 'override/' || override_seen
        WHEN gravatar_hash IS NOT NULL AND fallback IS NOT NULL THEN CASE
            WHEN fallback = 'custom' AND NOT ({former or "false"}) THEN told
            WHEN NOT ({meant("'unresolved'")} AND NOT ({forced}) OR {fallback}) THEN told
            WHEN below = 'gravatar' THEN 'fallback/own'
            WHEN below = 'unresolved' THEN 'fallback/unknown'
            ELSE 'default/default' END
        WHEN coalesce(picture IN ({_listed(policy.former)}), false) THEN
            CASE WHEN {meant("'placeholder'")} THEN 'default/default' ELSE told END
        WHEN ({late} OR below IN {_NO_PICTURE} AND coalesce(evidence, '') <> 'pixels')
            AND {by_rule} THEN 'default/default'
        ELSE told END"""


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
