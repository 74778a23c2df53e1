"""Whether anything at the tenant makes a picture of our choosing reach people.

`user_metadata.picture` does nothing by itself, and no setting of Auth0 names a default
picture (Auth0, "Change User Pictures"): an Action bound to post-login, or formerly a
Rule, has to put either into the ID token. Their code is read here, never run. It says
what a script mentions, not what it does under every condition: where that leaves
doubt, the verdict is None.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Self, TypeAlias

from toolkit.analysis.file_header import as_json, read

RULES_END = datetime(2026, 11, 18, tzinfo=UTC)
"""When Rules stop being executed (Auth0, "Deprecations and Migrations")."""

Kind: TypeAlias = Literal["action", "rule"]

# Comments, and text in which they could hide; text is kept.
_COMMENTS = re.compile(
    r"""("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`)|//[^\n]*|/\*.*?(?:\*/|\Z)""",
    re.DOTALL,
)
# Code may be large and is not ours: no pattern below looks twice at what it has seen. What
# they skip is one blank or one line break at most, since longer ones are cut to that.
_BLANKS = re.compile(r"\s+")
_CLAIM = re.compile(r"""setCustomClaim\s*\(\s*(?:(["'`])picture\1\s*,|(?!["'`]))""")
_RULE_SETS = re.compile(r"""\buser\s*(?:\.\s*picture|\[\s*["'`]picture["'`]\s*\])\s*=(?!=)""")
_OVERRIDE = re.compile(
    r"""user_metadata\b\s*(?:\|\|\s*\{\}\s*\)?\s*)?(?:\?\.|\.)?\s*\[?\s*["'`]?picture\b"""
)
_ALIAS = re.compile(r"(?<![\w$])([\w$]++)\s*=\s*[^;\n=]*\buser_metadata\b(?!\s*\??\.\s*\w)")
_METADATA = re.compile(r"\b(?:user_metadata|metadata|meta)\b")
_PICTURE = re.compile(r"\bpicture\b")
# `{ picture } = …`: what is unpacked stands between its end and the end of the statement.
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
    """The code of an Action or a Rule.

    Attributes:
        kind: "action" or "rule".
        name: what the tenant calls it.
        code: JavaScript: of an Action what is deployed, not the draft.
        on: whether it is bound to post-login and deployed, or, of a Rule, enabled.
    """

    kind: Kind
    name: str
    code: str
    on: bool


@dataclass(frozen=True, slots=True)
class Setter:
    """A script that sets the picture that applications see.

    Attributes:
        kind: "action" or "rule".
        name: what the tenant calls it.
        on: whether it is bound and deployed, or enabled.
        runs: whether that makes it run; a Rule has not since `RULES_END`.
        override: whether it lets `user_metadata.picture` through; None where that is unclear.
        default: whether it sets another picture than that; None where that is unclear.
        spares: whether it looks at the picture that the user has before it replaces it.
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
        """Whether it would still run, had Rules not ended."""
        return self.on and not self.runs


@dataclass(frozen=True, slots=True)
class Wiring:
    """What at a tenant sets the picture that applications see.

    Attributes:
        setters: the scripts that do, Actions in the order in which they run.
        actions: whether the tenant's Actions were read.
        rules: whether its Rules were read.
        as_of: when (UTC).
    """

    setters: tuple[Setter, ...]
    actions: bool
    rules: bool
    as_of: datetime

    @property
    def override(self) -> bool | None:
        """Whether anything makes `user_metadata.picture` reach the ID token; None: unknown."""
        return self._any("override")

    @property
    def default(self) -> bool | None:
        """Whether anything makes a default picture reach the ID token; None: unknown."""
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

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values: verdicts and names, no code."""
        return as_json(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `as_dict` wrote.

        Raises:
            KeyError, TypeError, ValueError: a value is missing or of another type.
        """
        return read(cls, values)


def wiring(
    scripts: Iterable[Script], as_of: datetime, *, actions: bool = True, rules: bool = True
) -> Wiring:
    """Judge a tenant's scripts by their code.

    Args:
        scripts: its Actions, in the order in which they are bound, and its Rules.
        as_of: when they were read; decides whether Rules still run.
        actions: whether its Actions could be read.
        rules: whether its Rules could be read.
    """
    setters = (_setter(script, as_of) for script in scripts)
    return Wiring(tuple(one for one in setters if one is not None), actions, rules, as_of)


def _setter(script: Script, as_of: datetime) -> Setter | None:
    """Judge one script; None where it does not set a picture."""
    code = _COMMENTS.sub(lambda found: found[1] or " ", script.code)
    code = _BLANKS.sub(lambda found: "\n" if "\n" in found[0] else " ", code)
    rule = script.kind == "rule"
    sets = (_RULE_SETS if rule else _CLAIM).findall(code)
    if not sets:
        return None
    # A claim whose name is not written out may be any; it is ours if pictures come up at all.
    named = rule or any(sets)
    if not named and "picture" not in code:
        return None
    override: bool | None = (
        bool(_OVERRIDE.search(code)) or _unpacked(code, _OF_METADATA) or _by_alias(code)
    )
    metadata = _METADATA.search(code)
    if not override and metadata and _PICTURE.search(code, metadata.end()):
        override = None
    writes = len(sets)
    default: bool | None = not override if override is not None else None
    if override and writes > 1:
        default = None if not named else True
    if not named:
        override, default = (None if override else override), None
    runs = script.on and not (rule and as_of >= RULES_END)
    spares = bool(_LOOKS.search(code)) or _unpacked(code, _OF_USER)
    return Setter(script.kind, script.name, script.on, runs, override, default, spares)


def _unpacked(code: str, whence: re.Pattern[str]) -> bool:
    """Whether a picture is unpacked from something."""
    looked = 0
    for found in _UNPACKS.finditer(code):
        # Where the beginning of a statement has been looked at, its end has been, too.
        if found.end() <= looked or not _PICTURE.search(found[1]):
            continue
        end = _END.search(code, found.end())
        looked = end.start() if end else len(code)
        if whence.search(code, found.end(), looked):
            return True
    return False


def _by_alias(code: str) -> bool:
    """Whether a variable that holds user_metadata is asked for its picture."""
    names = {found[1] for found in _ALIAS.finditer(code)}
    return any(found[1] in names for found in _ASKED.finditer(code))
