"""What becomes of one user's picture under a new default, and why.

`replaced` decides what a login shows (ways `action` and `rule`), `replaced_root` what is written to
the profile (`root`), `replaced_metadata` what is written to `user_metadata.picture` (`metadata`).
`policy.js` beside this module decides the same in JavaScript; tests compare them.

- The policy's order says where to look for a picture; the first one that is usable is shown, and
  without any the default. The profile's picture is usable if the policy keeps it.
- A Gravatar URL keeps showing a Gravatar that exists: only what it shows without one (its parameter
  `d`, or `default`) is replaced. A forced fallback (`f=y`) stays forced: without it a picture would
  show that somebody turned off.
- A fallback that somebody chose, an image of no rule's host, stays, unless the policy lists it as a
  former default.
- Auth0's initials images, providers' stock images, former defaults, missing pictures and pictures
  that no browser can show (also for want of an access token) are replaced by the default picture.
- An expired signed URL is replaced, too, if the policy says so: it never works again, and the next
  login brings a new one if the provider has one.
- Every other picture stays.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Final, Self
from urllib.parse import parse_qsl, quote, unquote

from toolkit.analysis.file_header import read
from toolkit.analysis.own_action import LivePolicy, Step, with_order
from toolkit.classification.sources import (
    Fallback,
    Source,
    Verdict,
    classify,
    needs_token,
    usable_override,
    without_gravatar,
)
from toolkit.errors import SettingsError

# `social`, `enterprise` and `custom` are included only for signed URLs that have expired; `invalid`
# includes addresses that need an access token.
REPLACEABLE: Final = (
    Source.UNRESOLVED,
    Source.INITIALS,
    Source.PLACEHOLDER,
    Source.MISSING,
    Source.INVALID,
    Source.SOCIAL,
    Source.ENTERPRISE,
    Source.CUSTOM,
)
_NO_PICTURE = frozenset({Source.INITIALS, Source.PLACEHOLDER, Source.MISSING, Source.INVALID})


@dataclass(frozen=True, slots=True)
class Policy:
    """An admin's decision about the default picture.

    Equal decisions are equal values: the order of connections, sources and former pictures does
    not matter.

    Attributes:
        picture: the default picture, an https URL that is no placeholder or Gravatar by the rules.
        order: where to look for a picture, before the default: `own` (the profile's picture, if the
            policy keeps it), and perhaps `override` (a usable `user_metadata.picture`) and
            `elsewhere` (what `toolkit.classification.held_elsewhere` finds). To steps after `own`,
            a Gravatar URL gives way, because at a login nobody knows whether that Gravatar exists.
        expired: whether an expired signed URL is replaced.
        former: earlier default pictures, which are replaced too.
        connections: names of the connections it applies to, or None for all.
        sources: which of `REPLACEABLE` are replaced, or None for all. A Gravatar URL is included by
            `unresolved` and by what it shows without a Gravatar (`initials` or `placeholder`). Has
            no effect on what comes before `own`.

    Raises:
        SettingsError: the decision is not possible.
    """

    picture: str
    order: tuple[Step, ...] = (Step.OWN,)
    expired: bool = True
    former: tuple[str, ...] = ()
    connections: tuple[str, ...] | None = None
    sources: tuple[Source, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "order", steps_of(self.order))
        object.__setattr__(self, "former", tuple(sorted({*self.former} - {self.picture})))
        for name in ("connections", "sources"):
            values = getattr(self, name)
            if values is not None:
                object.__setattr__(self, name, tuple(sorted(set(values))))
        texts = (self.picture, *self.former, *(self.connections or ()))
        # A lone surrogate cannot be in a URL.
        if any("\ud800" <= character <= "\udfff" for text in texts for character in text):
            raise SettingsError(
                "A picture or a connection's name is not valid text. Type it in again."
            )
        if not usable_override(self.picture):
            raise SettingsError(
                "The default picture must be an https URL that browsers can show. "
                "Publish the image and give its full address."
            )
        if classify(self.picture).source in {Source.UNRESOLVED, *_NO_PICTURE}:
            raise SettingsError(
                "The default picture is itself a Gravatar or somebody's placeholder. "
                "Publish an image of your own and give its address."
            )
        if self.connections == () or self.sources == ():
            raise SettingsError(
                "An empty list of connections or sources would change nobody. "
                "Name at least one, or leave the list out to mean all."
            )
        if kept := [source for source in self.sources or () if source not in REPLACEABLE]:
            raise SettingsError(
                f"Pictures of source {kept[0]} are never replaced. "
                f"Choose among {', '.join(REPLACEABLE)}."
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `asdict` returned. No key is ignored: it may say who is meant.

        Raises:
            KeyError, TypeError, ValueError, SettingsError: it was something else.
        """
        held = with_order(values)
        if {*held} != {one.name for one in fields(cls)}:
            raise ValueError("a policy of another version")
        return read(cls, held)


def steps_of(names: Iterable[str]) -> tuple[Step, ...]:
    """Return an order from the names of its steps.

    Raises:
        SettingsError: it names a step that there is not, or one twice, or leaves out `own`.
    """
    order = tuple(names)
    if unknown := [name for name in order if name not in set(Step)]:
        raise SettingsError(
            f"There is no step {unknown[0]!r} in an order: choose among {', '.join(Step)}. "
            "The default comes last without being named."
        )
    if len(set(order)) < len(order):
        raise SettingsError(f"The order {','.join(order)} names a step twice: name each once.")
    if Step.OWN not in order:
        raise SettingsError(
            "Without own in the order, the default would hide pictures that people chose. "
            f"Name it, too: {','.join((*order, Step.OWN))}"
        )
    return tuple(map(Step, order))


@dataclass(frozen=True, slots=True)
class Replacement:
    """The new picture, or None if nothing changes; and why, in words that never contain a URL."""

    after: str | None
    reason: str


_FOUND: Final = Replacement(None, "a Gravatar that exists: kept")
_LINE_BREAKS = str.maketrans("", "", "\t\n\r")
_BLANKS = "".join(map(chr, range(0x21)))


def _divided(url: str) -> tuple[str, str, str]:
    """Return what stands before the query, the query without its `?`, and `#…`.

    What browsers drop from a URL is left out (WHATWG URL, as `classify` reads it).
    """
    rest, mark, fragment = url.strip(_BLANKS).translate(_LINE_BREAKS).partition("#")
    before, _, query = rest.partition("?")
    return before, query, mark + fragment


def _with_fallback(gravatar: str, default: str) -> str:
    """Replace what a Gravatar URL shows without a Gravatar; change nothing else."""
    before, query, fragment = _divided(gravatar)
    pieces = query.split("&") if query else []
    found = [unquote(piece.partition("=")[0]) in {"d", "default"} for piece in pieces]
    if not any(found):
        pieces, found = [*pieces, "d"], [*found, True]
    last = max(at for at, names_fallback in enumerate(found) if names_fallback)
    # The same characters are safe in JavaScript's encodeURIComponent.
    pieces[last] = "d=" + quote(default, safe="!'()*")
    kept = [piece for at, piece in enumerate(pieces) if at == last or not found[at]]
    return f"{before}?{'&'.join(kept)}{fragment}"


def _expired(verdict: Verdict, policy: Policy, now: datetime) -> bool:
    return policy.expired and verdict.expires_at is not None and verdict.expires_at <= now


def _instead_of(picture: object, policy: Policy, now: datetime) -> Replacement:
    """Decide about one picture, of any user and in any field."""
    if picture == policy.picture:
        return Replacement(None, "is the default picture already")
    verdict = classify(picture)
    meant, after, what = {verdict.source}, policy.picture, verdict.reason
    if isinstance(picture, str) and verdict.fallback is not None:
        what = f"a Gravatar URL, whose fallback ({verdict.fallback}) is replaced"
        if verdict.fallback is Fallback.CUSTOM:
            parameters = dict(parse_qsl(_divided(picture)[1], keep_blank_values=True))
            chosen = parameters.get("d", parameters.get("default", "")).strip()
            if chosen not in policy.former:
                return Replacement(None, "a Gravatar URL whose fallback somebody chose: kept")
            what = "a Gravatar URL, whose fallback (a former default picture) is replaced"
        meant.add(without_gravatar(verdict.fallback))
        after = _with_fallback(picture, policy.picture)
    elif picture in policy.former:
        meant, what = {Source.PLACEHOLDER}, "a former default picture"
    elif needs_token(picture):
        meant, what = {Source.INVALID}, "an address that needs an access token"
    elif verdict.source not in _NO_PICTURE:
        if not _expired(verdict, policy, now):
            return Replacement(None, f"{verdict.reason}: kept")
        what = f"{verdict.reason}: the link has expired"
    if policy.sources is not None and meant.isdisjoint(policy.sources):
        return Replacement(None, f"{verdict.source} is not among the chosen sources")
    return Replacement(after, what)


def _usable(metadata_picture: object, policy: Policy, now: datetime) -> str | None:
    """Return a `user_metadata.picture` that is a picture of the user's own, or None.

    Applications store Auth0's initials image there after Gravatar's redirect: it does not count.
    """
    if not isinstance(metadata_picture, str) or not usable_override(metadata_picture):
        return None
    verdict = classify(metadata_picture)
    is_default = metadata_picture in {policy.picture, *policy.former}
    if is_default or verdict.source in _NO_PICTURE or _expired(verdict, policy, now):
        return None
    return None if needs_token(metadata_picture) else metadata_picture


def _in_order(
    picture: object,
    policy: Policy,
    now: datetime,
    *,
    override: object = None,
    elsewhere: str | None = None,
    exists: bool = False,
) -> Replacement:
    """Decide by the first step of the order that has a usable picture.

    A Gravatar that is known to exist is usable, too.
    """
    instead = _FOUND if exists else _instead_of(picture, policy, now)
    for step in policy.order:
        if step is Step.OWN and instead.after is None and picture != policy.picture:
            return instead
        if step is Step.OVERRIDE and (chosen := _usable(override, policy, now)) is not None:
            its = _instead_of(chosen, policy, now)  # a Gravatar gets the default as its fallback
            after, why = its.after or chosen, f"user_metadata.picture is shown ({its.reason})"
            return Replacement(None if after == picture else after, why)
        if step is Step.ELSEWHERE and elsewhere not in {None, policy.picture, *policy.former}:
            return Replacement(elsewhere, "a picture that the tenant has elsewhere is shown")
    return instead


def _outside(connection: str | None, policy: Policy) -> Replacement | None:
    if policy.connections is None or connection in policy.connections:
        return None
    return Replacement(None, "logs in through a connection that was not chosen")


def replaced(
    picture: object,
    *,
    metadata_picture: object = None,
    elsewhere: str | None = None,
    connection: str | None = None,
    policy: Policy,
    now: datetime,
) -> Replacement:
    """Decide what a login shows instead of the profile's picture: ways `action` and `rule`.

    Args:
        picture: the root `picture` of the user object, with any value.
        metadata_picture: `user_metadata.picture`, with any value.
        elsewhere: the snapshot's column; an Action finds the same at the login.
        connection: name of the connection of the login. A snapshot has that of the primary
            identity; a user with linked accounts may use another one.
        policy: the admin's decision.
        now: the time of the login, with a timezone.
    """
    if outside := _outside(connection, policy):
        return outside
    return _in_order(picture, policy, now, override=metadata_picture, elsewhere=elsewhere)


def shown_address(user: Mapping[str, Any], live: Iterable[LivePolicy], now: datetime) -> str | None:
    """Return the address that applications load as the picture of a user.

    Args:
        user: a row of a snapshot with the column `shows` of `toolkit.analysis.shown_picture`.
        live: what this tool's Actions do that run, in their order.
        now: the time of the snapshot.

    Returns:
        The address; "" if the profile has none; None if nobody knows it.
    """
    known = {"profile": "picture", "override": "metadata_picture", "elsewhere": "elsewhere"}
    if user["shows"] in known:
        return user[known[user["shows"]]] or ""
    if user["shows"] not in {"default", "fallback"}:
        return None
    names = ("metadata_picture", "elsewhere", "connection")
    about = {name: user[name] for name in names}
    after = None
    for one in live:
        try:
            policy = Policy(**asdict(one))
        except SettingsError:  # somebody edited the Action
            return None
        after = replaced(user["picture"], **about, policy=policy, now=now).after or after
    return after


def replaced_root(
    picture: object,
    *,
    elsewhere: str | None = None,
    connection: str | None = None,
    policy: Policy,
    now: datetime,
    underlying: str | None = None,
) -> Replacement:
    """Decide what is written to the profile's `picture`: way `root`.

    Arguments as for `replaced`. The step `override` is left out: a copy of `user_metadata.picture`
    would not follow what people change there. `underlying` is the snapshot's column: a Gravatar
    that a probe found counts as usable, because nobody would see its new fallback.
    """
    if outside := _outside(connection, policy):
        return outside
    exists = underlying == Source.GRAVATAR
    return _in_order(picture, policy, now, elsewhere=elsewhere, exists=exists)


def replaced_metadata(
    picture: object,
    *,
    metadata_picture: object = None,
    elsewhere: str | None = None,
    connection: str | None = None,
    policy: Policy,
    now: datetime,
    underlying: str | None = None,
) -> Replacement:
    """Decide what is written to `user_metadata.picture`: way `metadata`.

    A usable picture there stays, wherever `override` is in the order, because somebody put it
    there; a former default is replaced. If the profile has a Gravatar URL, that URL is written with
    the default as its fallback: the default alone would hide Gravatars that exist. A Gravatar that
    a probe found counts as usable where nothing in `user_metadata` hides it. Arguments as for
    `replaced_root`, and `metadata_picture`.
    """
    if outside := _outside(connection, policy):
        return outside
    if _usable(metadata_picture, policy, now) is not None:
        return Replacement(None, "user_metadata has a picture: kept")
    former = metadata_picture in policy.former
    hidden = metadata_picture if former else picture
    exists = underlying == Source.GRAVATAR and not usable_override(metadata_picture)
    instead = _in_order(hidden, policy, now, elsewhere=elsewhere, exists=exists)
    if instead.after is not None and instead.after == metadata_picture:
        return Replacement(None, "user_metadata has this picture already")
    if instead.after is not None and not usable_override(instead.after):
        return Replacement(None, "user_metadata takes https only, and this is http: kept")
    return instead
