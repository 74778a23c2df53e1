"""What is wrong with the pictures of a tenant's users, how many it concerns, what to do.

A finding is a row of a table: a condition over the columns of a snapshot, and words.
All conditions are counted in one pass of DuckDB, over a frame or over a snapshot file
of any size. Nothing here asks anybody: this is what the profiles alone give away.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from glob import escape as escaped
from html import escape
from pathlib import Path
from typing import Any, Literal

import duckdb
import pandas as pd

from toolkit.mask import mask
from toolkit.picture import TOKEN_ONLY
from toolkit.wiring import RULES_END, Setter, Wiring
from toolkit.wording import percent, visible

Severity = Literal["high", "medium", "low", "info"]
SEVERITIES: tuple[Severity, ...] = ("high", "medium", "low", "info")
"""From what people see and should not, to what is only worth knowing."""

_EXAMPLES = 3
# One picture of so many users, and of one in a thousand, is nobody's own.
_SHARED, _SHARED_PART = 10, 1000
_SOON = 14  # days
_MEMORY = "400MB"

# What people see is the root picture, unless an override that works stands before it.
_ROOT_SHOWS = "(source <> 'metadata' OR NOT $overrides)"
_SHOWS_PLACEHOLDER = (
    "underlying IN ('initials', 'placeholder', 'missing', 'unresolved') AND " + _ROOT_SHOWS
)
_SOMEBODYS = "underlying IN ('social', 'enterprise', 'custom')"
# What no rule decided, and so may be of any host.
_UNRULED = "(underlying = 'custom' OR evidence = 'identity' OR source = 'metadata')"
_IS_SHARED = "hash(picture) IN (SELECT digest FROM shared)"
_TRIMMED = "lower(trim(email))"
_COPY = r"^https?://i[012]\.wp\.com/cdn\.auth0\.com/avatars/"


def _where(cheap: str, dear: str) -> str:
    """Return a condition of both, the second of which is reckoned only where the first holds.

    Fact (DuckDB 2.0, tried): as a FILTER, `cheap AND dear` reckons both of every row.
    """
    return f"CASE WHEN {cheap} THEN {dear} ELSE false END"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is worth knowing, or mending.

    Attributes:
        id: a word that scripts can rely on.
        severity: one of `SEVERITIES`.
        title: what it is.
        users: how many users it concerns.
        share: their share of all users, 0 to 1.
        meaning: what it means for them.
        advice: what to do.
        examples: up to three of their user_ids, in order.
    """

    id: str
    severity: Severity
    title: str
    users: int
    share: float
    meaning: str
    advice: str
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Check:
    """A finding that users may give rise to: a condition in DuckDB's SQL, and words."""

    id: str
    severity: Severity
    title: str
    condition: str
    meaning: str
    advice: str


_CHECKS = (
    _Check(
        "expired",
        "medium",
        "Expired provider pictures",
        f"expires_at < $as_of AND {_ROOT_SHOWS}",
        "The provider signed the link for a limited time, which is over: people see a broken "
        "image until the user logs in again.",
        "Show the default for expired links: picture-audit plan … --through action",
    ),
    _Check(
        "unshowable",
        "medium",
        "Pictures that no browser shows",
        "underlying = 'invalid'",
        "The profile holds something that is not an http(s) URL (data:, javascript:, a path, a "
        "number …): people see a broken image.",
        "Replace them by the default: picture-audit plan … --through root",
    ),
    _Check(
        "needs-token",
        "medium",
        "Pictures that need a token to load",
        _where(
            f"{_UNRULED} AND {_SOMEBODYS}",
            f"regexp_matches(picture, '{'|'.join(TOKEN_ONLY)}', 'i')",
        ),
        "These addresses answer only to requests that carry an access token, which an <img> never "
        "does: people see a broken image.",
        "Copy the picture to a host of yours at login, or show the default.",
    ),
    _Check(
        "missing",
        "medium",
        "Users without any picture",
        "underlying = 'missing' AND " + _ROOT_SHOWS,
        "The profile holds no picture; applications that expect one break or show a hole.",
        "Give them the default: picture-audit plan … --through action",
    ),
    _Check(
        "override-unusable",
        "medium",
        "Overrides that cannot be used",
        _where(
            "source <> 'metadata' AND metadata_picture IS NOT NULL", "trim(metadata_picture) <> ''"
        ),
        "user_metadata.picture holds something other than an https URL; where an application "
        "shows it anyway it is broken or insecure.",
        "Check what your application writes there; let only https URLs through.",
    ),
    _Check(
        "override-initials",
        "low",
        "Overrides that are initials",
        _where(
            "metadata_picture IS NOT NULL",
            "metadata_picture LIKE 'https://cdn.auth0.com/avatars/%' OR "
            f"regexp_matches(metadata_picture, '{_COPY}', 'i')",
        ),
        "user_metadata.picture holds a copy of Auth0's initials image: it stays when the user "
        "gets a picture or another name.",
        "Remove these overrides; an application stored what Gravatar redirected it to.",
    ),
    _Check(
        "resolved-copy",
        "low",
        "Initials from the image proxy",
        _where(
            "underlying = 'initials' AND gravatar_hash IS NULL",
            f"regexp_matches(picture, '{_COPY}', 'i')",
        ),
        "The profile holds the address to which Gravatar's proxy redirected: initials for ever, "
        "though the user may have got a Gravatar since.",
        "Replace them by the default: picture-audit plan … --through root",
    ),
    _Check(
        "hidden-default",
        "medium",
        "Hidden default pictures",
        f"{_SOMEBODYS} AND {_ROOT_SHOWS} AND {_IS_SHARED}",
        "One and the same image stands in for many different people: a default in all but name, "
        "counted as their own.",
        "Treat it as a placeholder when you choose a default.",
    ),
    _Check(
        "stock-image",
        "low",
        "Stock images of providers",
        f"underlying = 'placeholder' AND gravatar_hash IS NULL AND {_ROOT_SHOWS}",
        "The provider had no picture of the user and gave its grey silhouette.",
        "Show the default instead: picture-audit plan … --through action",
    ),
    _Check(
        "foreign-default",
        "info",
        "Gravatars with another fallback",
        "fallback IS NOT NULL AND fallback <> 'initials'",
        "Where there is no Gravatar these users show something other than Auth0's initials: a "
        "silhouette, a pattern, or an image of somebody's choice.",
        "Decide whether your default shall replace that too.",
    ),
    _Check(
        "insecure",
        "low",
        "Pictures over plain http",
        _where(
            "NOT starts_with(picture, 'https:') AND underlying <> 'invalid'",
            "lower(left(trim(picture), 5)) = 'http:'",
        ),
        "Browsers warn of them, upgrade them or block them on https pages, and anybody on the way "
        "can see or change them.",
        "Serve them over https; Auth0 and Gravatar do.",
    ),
    _Check(
        "hash-mismatch",
        "low",
        "Gravatars of another e-mail address",
        _where(
            "gravatar_hash IS NOT NULL",
            f"CASE WHEN trim(email) = '' THEN false "
            f"WHEN length(gravatar_hash) = 32 THEN gravatar_hash <> md5({_TRIMMED}) "
            f"ELSE gravatar_hash <> sha256({_TRIMMED}) END",
        ),
        "The Gravatar belongs to another address than the user has now: to a former one, or to "
        "somebody else.",
        "Have the picture computed again from the present address.",
    ),
    _Check(
        "email-hash-exposed",
        "info",
        "E-mail hashes in picture addresses",
        "gravatar_hash IS NOT NULL",
        "Whoever sees the picture's address, Gravatar included, can test it against a list of "
        "e-mail addresses: an unsalted hash is personal data.",
        "Mention Gravatar in your privacy notice, or show pictures through a host of your own.",
    ),
    _Check(
        "expiring",
        "info",
        f"Provider pictures that expire within {_SOON} days",
        "expires_at >= $as_of AND expires_at < $soon",
        "These links stop working soon, unless the users log in before.",
        "Nothing yet; the next audit will tell.",
    ),
    _Check(
        "unresolved",
        "info",
        "Gravatars that may exist or not",
        "underlying = 'unresolved'",
        "The address alone does not tell whether people see a Gravatar or its fallback.",
        "Ask for a sample: picture-audit probe SNAPSHOT --sample 2000",
    ),
)


@dataclass(frozen=True, slots=True, repr=False)
class Findings:
    """What was found, the most severe first; a value that shows itself.

    Attributes:
        found: the findings that concern anybody.
        users: how many users were looked at.
        notes: what could not be found out.
    """

    found: tuple[Finding, ...]
    users: int
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)

    def table(self, *, masked: bool = True) -> pd.DataFrame:
        """Return one row for each finding.

        Args:
            masked: leave the middle of user_ids out of `examples`.

        Returns:
            Columns `id`, `severity`, `title`, `users` (int64), `share` (0 to 1),
            `meaning`, `advice` and `examples` (user_ids, separated by blanks).
        """
        rows = [
            (
                one.id,
                one.severity,
                one.title,
                one.users,
                one.share,
                one.meaning,
                one.advice,
                " ".join(map(mask, one.examples) if masked else one.examples),
            )
            for one in self.found
        ]
        names = ["id", "severity", "title", "users", "share", "meaning", "advice", "examples"]
        types = dict.fromkeys(names, "str") | {"users": "int64", "share": "float64"}
        return pd.DataFrame(rows, columns=names).astype(types)

    def as_dict(self, *, masked: bool = True) -> dict[str, Any]:
        """Return plain values for JSON: `users`, `notes` and `findings`, one object each."""
        rows = self.table(masked=masked).drop(columns="examples").to_dict("records")
        for row, one in zip(rows, self.found, strict=True):
            row["examples"] = [mask(name) if masked else name for name in one.examples]
        return {"users": self.users, "notes": list(self.notes), "findings": rows}

    def __repr__(self) -> str:
        """Draw the findings as text, one line each."""
        lines = [f"What is worth knowing about the pictures of {self.users:,} users"]
        lines += [
            f"{one.severity:<6}  {one.users:>9,}  {percent(one.share, 1):>7}  {one.title}"
            for one in self.found
        ]
        return "\n".join([*lines, *self.notes] if self.found else [*lines, "nothing", *self.notes])

    def _repr_html_(self) -> str:
        """Draw the findings as HTML for a notebook; what people typed stays text."""
        head = "".join(
            f'<th scope="col">{name}</th>'
            for name in ("finding", "severity", "users", "share", "what it means", "what to do")
        )
        body = "".join(
            f'<tr><th scope="row" style="text-align:left">{escape(one.title)}</th>'
            f"<td>{one.severity}</td><td>{one.users:,}</td><td>{percent(one.share, 1)}</td>"
            f'<td style="text-align:left">{escape(visible(one.meaning))}</td>'
            f'<td style="text-align:left">{escape(one.advice)}</td></tr>'
            for one in self.found
        )
        notes = "".join(f"<p>{escape(visible(note))}</p>" for note in self.notes)
        return (
            f"<table><caption>What is worth knowing about the pictures of {self.users:,} users"
            f"</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"
        )


def findings(
    users: pd.DataFrame | Path | str | None,
    *,
    as_of: datetime,
    wiring: Wiring | None = None,
) -> Findings:
    """Find out what is wrong with pictures, for how many users, and what to do about it.

    Args:
        users: one row per user with the columns of a snapshot, or a snapshot file.
        as_of: the moment at which signed URLs have expired or not (UTC).
        wiring: what sets the picture that applications see; None where nobody has read it.

    Returns:
        The findings that concern anybody, the most severe first, then the most users.
        Users are counted under each finding that concerns them.

    Raises:
        UnreadableInputError: a column is missing.
    """
    overrides = wiring.override if wiring else None
    checks = [*_CHECKS, *_wired(wiring)]
    now = as_of.astimezone(UTC)
    values = {"as_of": now, "soon": now + timedelta(days=_SOON), "overrides": bool(overrides)}
    with duckdb.connect(config={"memory_limit": _MEMORY}) as engine:
        _name(engine, users)
        total, *counted = _counted(engine, checks, values)
    found = []
    for check, number, examples in zip(checks, counted[::2], counted[1::2], strict=True):
        if number:
            found.append(
                Finding(
                    check.id,
                    check.severity,
                    check.title,
                    number,
                    number / total,
                    check.meaning,
                    check.advice,
                    tuple(examples or ()),
                )
            )
    found.sort(key=lambda one: (SEVERITIES.index(one.severity), -one.users))
    return Findings(tuple(found), total, tuple(_unknown(wiring)))


def _name(engine: duckdb.DuckDBPyConnection, users: pd.DataFrame | Path | str | None) -> None:
    """Make the users known to the engine, and the pictures that many of them share."""
    if isinstance(users, Path | str):
        engine.from_parquet(escaped(str(users))).create_view("users")
    else:
        engine.register("users", users)


def _counted(
    engine: duckdb.DuckDBPyConnection, checks: list[_Check], values: dict[str, Any]
) -> tuple[Any, ...]:
    # By their hashes: a few bytes a picture instead of the picture.
    shared = f"""
        shared AS (
            SELECT hash(picture) AS digest FROM users WHERE {_SOMEBODYS}
            GROUP BY digest
            HAVING count(*) >= greatest({_SHARED}, (SELECT count(*) / {_SHARED_PART} FROM users))
        )
    """  # noqa: S608 - numbers of this module
    columns = ", ".join(
        f"count(*) FILTER ({check.condition}), min(user_id, {_EXAMPLES}) FILTER ({check.condition})"
        for check in checks
    )
    row: tuple[Any, ...]
    (row,) = engine.execute(
        f"WITH {shared} SELECT count(*), {columns} FROM users",  # noqa: S608 - this module's own table of conditions; values are bound
        values,
    ).fetchall()
    return row


def _wired(wiring: Wiring | None) -> Iterator[_Check]:
    """Yield the findings that depend on the tenant's Actions and Rules."""
    if wiring is None:
        return
    if wiring.override is False:
        stopped = [one for one in wiring.stopped if one.override]
        why = f"{_names(stopped)} stopped on {RULES_END:%Y-%m-%d}. " if stopped else ""
        yield _Check(
            "override-unwired",
            "high",
            "Overrides that nothing shows",
            "source = 'metadata'",
            f"No Action puts user_metadata.picture into the token. {why}People see the profile's "
            "picture, unless the application reads user_metadata itself.",
            "Deploy the Action that does: picture-audit plan … --through action",
        )
    stopped = [one for one in wiring.stopped if one.default is not False]
    if stopped and not wiring.default:
        yield _Check(
            "default-stopped",
            "high",
            "A default picture that stopped",
            _SHOWS_PLACEHOLDER,
            f"{_names(stopped)} set a default picture until Rules ended on "
            f"{RULES_END:%Y-%m-%d}; since then these users are back to Auth0's initials, unless "
            "they have a Gravatar.",
            "Deploy the Action that replaces it: picture-audit plan … --through action",
        )
    careless = [one for one in wiring.running if one.default and not one.spares]
    if careless:
        yield _Check(
            "default-for-everybody",
            "high",
            "A default picture in place of real ones",
            "underlying IN ('social', 'enterprise', 'custom', 'gravatar', 'unresolved')",
            f"{_names(careless)} sets a picture without looking at the one that the user has: it "
            "may replace photos that people chose.",
            "Look at its code; the Action of picture-audit plan … spares real pictures.",
        )


def _unknown(wiring: Wiring | None) -> Iterator[str]:
    if wiring is None:
        yield (
            "Nobody has read the tenant's Actions: whether user_metadata.picture reaches anybody "
            "is unknown. Collect with read:actions and read:rules."
        )
    elif wiring.override is None:
        yield (
            "Whether user_metadata.picture reaches anybody is not clear from the tenant's Actions "
            "and Rules, as far as they were read."
        )


def _names(setters: list[Setter]) -> str:
    kind = setters[0].kind.capitalize()
    names = ", ".join(f"“{visible(one.name)[:60]}”" for one in setters)
    return f"{kind} {names}" if len(setters) == 1 else f"{kind}s {names}"
