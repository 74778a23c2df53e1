"""Whether a script at the tenant shows `user_metadata.picture` or a default picture.

`user_metadata.picture` alone does nothing, and Auth0 has no setting for a default picture (Auth0,
"Change User Pictures"): an Action bound to post-login, or formerly a Rule, must put either into the
ID token. A claim of the access token does not reach the application's user (Auth0, "Create Custom
Claims"), and to put `event.user.picture` there changes nothing. The code is read here, never run.
If it is not clear what it does, the verdict is None. This tool's own Action says it by its policy.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Self, TypeAlias

from toolkit.analysis.file_header import items, read
from toolkit.analysis.own_action import LivePolicy, Step, live_policy, with_order

RULES_END = datetime(2026, 11, 18, tzinfo=UTC)
"""When Rules end by Auth0's schedule ("Deprecations and Migrations"), which was moved before."""

RULES_ENDED = f"by Auth0's schedule Rules ended on {RULES_END:%Y-%m-%d}"
"""The end of Rules in words: whether a Rule still runs, only a login at the tenant shows."""

Kind: TypeAlias = Literal["action", "rule"]

# Comments, and strings that may look like comments; strings are kept.
_COMMENTS = re.compile(
    r"""("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)|//[^\n]*|/\*.*?(?:\*/|\Z)""",
    re.DOTALL,
)
# Code may be large and hostile, so no pattern below reads a character twice. Runs of blanks are
# shortened to one first, so patterns skip at most one.
_BLANKS = re.compile(r"\s+")
_CLAIM = re.compile(
    r"""(?:(?<![\w$])([\w$]++)["'`]?\s?\]?\s?(?:\?\.|\.|\[)\s?["'`]?)?"""
    r"""setCustomClaim["'`]?\s?\]?\s?\("""
)
_NAMED = re.compile(r"""\s?(["'`])picture\1\s?,""")
_VARIABLE_NAME = re.compile(r"\s?([\w$]+)\s?,")
_ASSIGNED = re.compile(
    r"""(?<![\w$.])([\w$]++)\s?=(?![=>])(?:\s?(["'`])([^"'`$]*)\2\s?(?=[;,\n]|\Z))?"""
)
_LITERAL = re.compile(r"""\s?["'`]""")
_LONGEST_CALL = 2_000  # characters of a call that are read
_ACCESS = re.compile(
    r"""(?<![\w$])([\w$]++)\s?=\s?[^;\n=]*\baccessToken\b(?!["'`]?\s?\]?\s?\??[.(\[])"""
    r"""|\baccessToken\s?:\s?([\w$]+)"""
)
_MIRROR = re.compile(
    r"""\s?(?:([\w$]+)\s?\??\.\s?)*?([\w$]+)\s?(?:\?\.|\.|\[)\s?["'`]?picture["'`]?\s?\]?"""
    r"""(?:\s?(?:\|\||\?\?)\s?(?:""|''|``|null|undefined))?\s?"""
)
# What changes nothing in a value: brackets, a template of one part, `String(…)`, a last comma.
_WRAPPED = re.compile(r"(?:String\s?)?\((.*?),?\)|`\$\{(.*)\}`|(.*),", re.DOTALL)
_BY_NAME = re.compile(r"""(?:\?\.)?\s?\[\s?(["'`])([\w$]+)\1\s?\]""")
_MOST_WRAPPINGS = 3
_GUARD = re.compile(r"(?<!\?)\?(?![.?])|&&")
_OR_NOTHING = re.compile(r"""\s?:\s?(?:""|''|``|null|undefined)\s?\Z""")
_VARIABLE = re.compile(r"\s?([\w$]+)\s?")
_RULE_SETS = re.compile(
    r"""\b(?:user|idToken)\s*(?:\.\s*picture|\[\s*["'`]picture["'`]\s*\])\s*=(?!=)"""
)
_OVERRIDE = re.compile(
    r"""user_metadata\b\s*(?:\|\|\s*\{\}\s*\)?\s*)?(?:\?\.|\.)?\s*\[?\s*["'`]?picture\b"""
)
_ALIAS = re.compile(r"(?<![\w$])([\w$]++)\s*=\s*[^;\n=]*\buser_metadata\b(?!\s*\??\.\s*\w)")
_METADATA = re.compile(r"\b(?:user_metadata|metadata|meta)\b")
_PICTURE = re.compile(r"\bpicture\b")
# `{ picture } = …`: the unpacked value is between the pattern's end and the end of the statement.
_UNPACKS = re.compile(r"\{([^{}]*)\}\s*=\s*")
_END = re.compile(r"[;\n]")
_OF_METADATA = re.compile(r"\buser_metadata\b")
_OF_USER = re.compile(r"\buser\b(?!_|\s*\??\.)")
_LOOKS = re.compile(
    r"""\buser\s*(?:\?\.|\.)\s*picture\b(?!\s*=(?!=))|\buser\s*(?:\?\.)?\[\s*["'`]picture["'`]\s*\](?!\s*=(?!=))"""
)
_ASKED = re.compile(r"""(?<![\w$])([\w$]++)\s*\??\.?\s*(?:\[\s*["'`])?picture\b""")


# What writes pictures into profiles, and not into tokens.
_WRITES = re.compile(
    r"""setUserMetadata\s?\(\s?["'`]picture["'`]|setUserByConnection|users\s?\.\s?(?:update|patch)\b"""
    r"""|/api/v2/users|updateUser"""
)
_UPDATES = frozenset({"UPDATE_USER", "CREATE_USER"})


@dataclass(frozen=True, slots=True)
class Script:
    """An Action or a Rule, by the tenant's name.

    Attributes:
        code: JavaScript; for an Action the deployed code, not the draft.
        on: whether an Action is bound to post-login and deployed, or a Rule enabled.
    """

    kind: Kind
    name: str
    code: str
    on: bool


@dataclass(frozen=True, slots=True)
class Setter:
    """A script that sets the picture that applications see.

    Attributes:
        on: as in `Script`.
        runs: whether it runs; since `RULES_END` no Rule is taken to run.
        override: whether it shows `user_metadata.picture`; None if unclear.
        default: whether it sets another picture; None if unclear.
        spares: whether it checks the user's picture before it replaces it.
        policy: if it is this tool's own Action, what it does.
    """

    kind: Kind
    name: str
    on: bool
    runs: bool
    override: bool | None
    default: bool | None
    spares: bool
    policy: LivePolicy | None = None

    @property
    def careless(self) -> bool:
        """Whether it sets a default picture without looking at the one that the user has."""
        return self.default is True and not self.spares

    @property
    def stopped(self) -> bool:
        """Whether it is a Rule that ran before the end of Rules, and is still listed."""
        return self.on and not self.runs


@dataclass(frozen=True, slots=True)
class Wiring:
    """The scripts at a tenant that set the picture that applications see.

    Attributes:
        setters: those scripts, Actions in the order in which they run.
        actions: whether the tenant's Actions were read; `rules` the same for Rules.
        as_of: when (UTC).
        writers: what writes pictures into profiles, or may do so, in words: Actions of any trigger,
            Flows, and event streams.
        flows: whether the tenant's Flows were read; `streams` the same for its event streams.
    """

    setters: tuple[Setter, ...]
    actions: bool
    rules: bool
    as_of: datetime
    writers: tuple[str, ...] = ()
    flows: bool = False
    streams: bool = False

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `as_json` of this version or a former one wrote.

        Raises:
            KeyError, TypeError, ValueError: a value is missing or of another type.
        """
        setters = [{"policy": None, **one} for one in items(values["setters"])]
        for one in setters:
            if one["policy"] is not None:
                one["policy"] = with_order(one["policy"])
        later = {"writers": (), "flows": False, "streams": False}
        return read(cls, {**later, **values, "setters": setters})

    @property
    def override(self) -> bool | None:
        """Whether a script puts `user_metadata.picture` into the ID token; None if unknown."""
        return self._any("override")

    @property
    def default(self) -> bool | None:
        """Whether a script puts a default picture into the ID token; None if unknown."""
        return self._any("default")

    @property
    def running(self) -> tuple[Setter, ...]:
        """The scripts that set a picture and run."""
        return tuple(one for one in self.setters if one.runs)

    @property
    def stopped(self) -> tuple[Setter, ...]:
        """The picture Rules that stopped with the end of Rules, by Auth0's schedule."""
        return tuple(one for one in self.setters if one.stopped)

    def _any(self, what: str) -> bool | None:
        says = [getattr(one, what) for one in self.running]
        if True in says:
            return True
        read = self.actions and (self.rules or self.as_of >= RULES_END)
        return None if None in says or not read else False

    def __repr__(self) -> str:
        words = {True: "yes", False: "no", None: "unknown"}
        return (
            f"<Wiring: user_metadata.picture reaches the ID token: {words[self.override]}; "
            f"a default picture: {words[self.default]}; {len(self.running)} scripts set one>"
        )


def wiring(
    scripts: Iterable[Script], as_of: datetime, *, actions: bool = True, rules: bool = True
) -> Wiring:
    """Find out from their code what a tenant's scripts set, as `Wiring` says it.

    `scripts` are its Actions, in the order in which they are bound, and its Rules; `as_of` decides
    whether Rules still run.
    """
    setters = (_setter(script, as_of) for script in scripts)
    return Wiring(tuple(one for one in setters if one is not None), actions, rules, as_of)


def writes_picture(code: str) -> bool:
    """Whether a script may write `picture` into a profile or its metadata."""
    code = _COMMENTS.sub(lambda found: found[1] or " ", code)
    return "picture" in code and _WRITES.search(code) is not None


def flow_writes_picture(flow: object) -> bool:
    """Whether one of the actions of a Flow, as the tenant sent it, writes a `picture`."""
    actions = _part(flow, "actions")
    for one in actions if isinstance(actions, list) else ():
        params = _part(one, "params")
        places = [params, _part(params, "changes")]
        places += [_part(place, "user_metadata") for place in places]
        if str(_part(one, "action")) in _UPDATES and any(
            isinstance(place, Mapping) and "picture" in place for place in places
        ):
            return True
    return False


def hands_users_out(stream: object) -> bool:
    """Whether an event stream, as the tenant sent it, sends users to a place outside the tenant.

    Nobody knows what that place writes. Of an Action at its end the code says it.
    """
    events = _part(stream, "subscriptions")
    names = [str(_part(one, "event_type")) for one in (events if isinstance(events, list) else ())]
    return (
        _part(stream, "status") == "enabled"
        and _part(_part(stream, "destination"), "type") != "action"
        and any(name.startswith("user.") for name in names)
    )


def _part(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, Mapping) else None


def _setter(script: Script, as_of: datetime) -> Setter | None:
    """Judge one script; None if it does not set a picture."""
    rule = script.kind == "rule"
    runs = script.on and not (rule and as_of >= RULES_END)
    if policy := live_policy(script.code):
        names = (script.kind, script.name, script.on, runs)
        return Setter(*names, Step.OVERRIDE in policy.order, True, True, policy)
    code = _COMMENTS.sub(lambda found: found[1] or " ", script.code)
    code = _BLANKS.sub(lambda found: "\n" if "\n" in found[0] else " ", code)
    if rule:
        named = [True] * len(_RULE_SETS.findall(code))
    else:
        code, named = _claims(code)
    # A claim with a computed name may be any claim; assume `picture` if the code mentions pictures.
    if not named or (not any(named) and "picture" not in code):
        return None
    override: bool | None = (
        bool(_OVERRIDE.search(code)) or _unpacked(code, _OF_METADATA) or _by_alias(code)
    )
    metadata = _METADATA.search(code)
    if not override and metadata and _PICTURE.search(code, metadata.end()):
        override = None
    default = None if override is None else not override or len(named) > 1
    if not any(named):
        override, default = (None if override else override), None
    spares = bool(_LOOKS.search(code)) or _unpacked(code, _OF_USER)
    return Setter(script.kind, script.name, script.on, runs, override, default, spares)


def _claims(code: str) -> tuple[str, list[bool]]:
    """Find the claims of an ID token that may be a picture other than the profile's.

    Returns:
        The code without the claims of access tokens; and for each claim that is left and may be
        `picture`, whether its name says so.
    """
    access = {"accessToken"}.union(*(found.groups() for found in _ACCESS.finditer(code)))
    other = "accessToken" in code and "idToken" not in code
    texts = _constants(code)
    kept, named, end, done = [], [], 0, 0
    for found in _CLAIM.finditer(code):
        if found.start() < done:
            continue
        call = _arguments(code, found.end())
        done = found.end() + len(call)
        is_named = _NAMED.match(call)
        if (constant := _VARIABLE_NAME.match(call)) and (text := texts.get(constant[1])):
            if text != "picture":
                continue
            is_named = constant
        if found[1] in access:
            kept.append(code[end : found.start()])
            end = done
        elif other or (not is_named and _LITERAL.match(call)):
            continue
        elif not (is_named and _mirrors(code, call[is_named.end() :])):
            named.append(bool(is_named))
    return "".join([*kept, code[end:]]), named


def _constants(code: str) -> dict[str, str]:
    """Return the texts of variables that are given one text, and nothing else."""
    texts: dict[str, str] = {}
    for found in _ASSIGNED.finditer(code):
        texts[found[1]] = "" if found[1] in texts else found[3] or ""
    return texts


def _arguments(code: str, start: int) -> str:
    """Return the arguments of a call, from behind its opening bracket."""
    depth = 1
    for place, character in enumerate(code[start : start + _LONGEST_CALL]):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0:
            return code[start : start + place]
    # A bracket in a text: take the statement.
    return _END.split(code[start : start + _LONGEST_CALL], maxsplit=1)[0]


def _mirrors(code: str, value: str) -> bool:
    """Whether a value is the picture that the profile has anyway."""
    value = _BY_NAME.sub(r".\2", value).strip()
    for _ in range(_MOST_WRAPPINGS):
        if wrapped := _WRAPPED.fullmatch(value):
            value = next(part for part in wrapped.groups() if part is not None).strip()
    guarded = [_OR_NOTHING.sub("", one).strip() for one in _GUARD.split(value)]
    if len(set(guarded)) == 1:
        value = guarded[0]  # of `x ? x : null` and `x && x`
    variable = _VARIABLE.fullmatch(value)
    if variable:
        name = re.escape(variable[1])
        given = re.findall(rf"(?<![\w$.]){name}\s?=(?![=>])\s?([^;\n]*)", code)
        unpacked = variable[1] == "picture" and _unpacked(code, _OF_USER)
        if given:
            return len(given) == 1 and _mirrors_user(code, given[0])
        return unpacked and not _unpacked(code, _OF_METADATA)
    return _mirrors_user(code, value)


def _mirrors_user(code: str, value: str) -> bool:
    found = _MIRROR.fullmatch(value)
    if found is None:
        return False
    alias = rf"(?<![\w$.]){re.escape(found[2])}\s?=\s?(?:[\w$]+\s?\??\.\s?)*user\s?(?:[;,\n]|$)"
    return found[2] == "user" or re.search(alias, code) is not None


def _unpacked(code: str, whence: re.Pattern[str]) -> bool:
    """Whether the code unpacks a picture from an object."""
    looked = 0
    for found in _UNPACKS.finditer(code):
        # Each statement is read once, from its beginning to its end.
        if found.end() > looked and _PICTURE.search(found[1]):
            end = _END.search(code, found.end())
            looked = end.start() if end else len(code)
            if whence.search(code, found.end(), looked):
                return True
    return False


def _by_alias(code: str) -> bool:
    """Whether the picture of a variable with user_metadata is used."""
    names = {found[1] for found in _ALIAS.finditer(code)}
    return any(found[1] in names for found in _ASKED.finditer(code))
