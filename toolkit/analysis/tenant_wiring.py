"""Whether a script at the tenant shows `user_metadata.picture` or a default picture.

`user_metadata.picture` alone does nothing, and Auth0 has no setting for a default picture (Auth0,
"Change User Pictures"): an Action bound to post-login, or formerly a Rule, must put either into the
ID token. Their code is read here, never run. If it is not clear what it does, the verdict is None.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias

RULES_END = datetime(2026, 11, 18, tzinfo=UTC)
"""When Auth0 stops running Rules (Auth0, "Deprecations and Migrations")."""

Kind: TypeAlias = Literal["action", "rule"]

# Comments, and strings that may look like comments; strings are kept.
_COMMENTS = re.compile(
    r"""("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)|//[^\n]*|/\*.*?(?:\*/|\Z)""",
    re.DOTALL,
)
# Code may be large and hostile, so no pattern below reads a character twice. Runs of blanks are
# shortened to one first, so patterns skip at most one.
_BLANKS = re.compile(r"\s+")
_CLAIM = re.compile(r"""setCustomClaim\s*\(\s*(?:(["'`])picture\1\s*,|(?!["'`]))""")
_RULE_SETS = re.compile(r"""\buser\s*(?:\.\s*picture|\[\s*["'`]picture["'`]\s*\])\s*=(?!=)""")
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
        runs: whether it runs; no Rule runs since `RULES_END`.
        override: whether it shows `user_metadata.picture`; None if unclear.
        default: whether it sets another picture; None if unclear.
        spares: whether it checks the user's picture before it replaces it.
    """

    kind: Kind
    name: str
    on: bool
    runs: bool
    override: bool | None
    default: bool | None
    spares: bool

    @property
    def stopped(self) -> bool:
        """Whether it is a Rule that ran before the end of Rules."""
        return self.on and not self.runs


@dataclass(frozen=True, slots=True)
class Wiring:
    """The scripts at a tenant that set the picture that applications see.

    Attributes:
        setters: those scripts, Actions in the order in which they run.
        actions: whether the tenant's Actions were read; `rules` the same for Rules.
        as_of: when (UTC).
    """

    setters: tuple[Setter, ...]
    actions: bool
    rules: bool
    as_of: datetime

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
        """The picture Rules that stopped running with the end of Rules."""
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


def _setter(script: Script, as_of: datetime) -> Setter | None:
    """Judge one script; None if it does not set a picture."""
    code = _COMMENTS.sub(lambda found: found[1] or " ", script.code)
    code = _BLANKS.sub(lambda found: "\n" if "\n" in found[0] else " ", code)
    rule = script.kind == "rule"
    sets = (_RULE_SETS if rule else _CLAIM).findall(code)
    if not sets:
        return None
    # A claim with a computed name may be any claim; assume `picture` if the code mentions pictures.
    named = rule or any(sets)
    if not named and "picture" not in code:
        return None
    override: bool | None = (
        bool(_OVERRIDE.search(code)) or _unpacked(code, _OF_METADATA) or _by_alias(code)
    )
    metadata = _METADATA.search(code)
    if not override and metadata and _PICTURE.search(code, metadata.end()):
        override = None
    default = None if override is None else not override or len(sets) > 1
    if not named:
        override, default = (None if override else override), None
    runs = script.on and not (rule and as_of >= RULES_END)
    spares = bool(_LOOKS.search(code)) or _unpacked(code, _OF_USER)
    return Setter(script.kind, script.name, script.on, runs, override, default, spares)


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
