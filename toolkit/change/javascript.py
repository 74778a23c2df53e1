"""The JavaScript that hands out the default picture: a post-login Action, and two Rules.

The decision itself is `policy.js`. The policy and the rule table go into it as one JSON literal of
ASCII without `<`, in which everything stays text. The same policy gives the same bytes. An Action
says the SHA-256 of its own code, so that later versions can tell it from one that was edited.

Facts: Auth0, "Actions Triggers: post-login" (`event.user`, `event.connection`,
`api.idToken.setCustomClaim`); "Create Custom Claims" (`picture` may be set as it is, and
`/userinfo` carries it too); "Actions Limitations" (code of at most 100 kB, no personal
data in it); "Deprecations and Migrations" (Rules end on 2026-11-18).
"""

import hashlib
import json
import re
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from textwrap import indent
from typing import Any, Final

from toolkit.analysis.own_action import CONFIG, MARKER, policy_in
from toolkit.change.policy import Policy
from toolkit.classification.held_elsewhere import KEY, THUMBNAIL, WORDS
from toolkit.classification.sources import RULES, TOKEN_ONLY, Fallback, Rule
from toolkit.classification.web_address import (
    CLOUDS,
    KEYS,
    LONGEST,
    NO_HOSTS,
    NOBODY,
    SIGNED,
    UNFILLED,
)
from toolkit.errors import SettingsError

LARGEST: Final = 100_000
_DIGEST = "// SHA-256 of the lines below: "
_PLACE = re.compile(rf"^{CONFIG}null;.*$", re.MULTILINE)

_ACTION = """\
//
// What it does: after a login it sets the claim `picture` of the ID token (and of /userinfo) to
// the first usable picture, in the `order` of the policy below, or else to the default picture.
// `own` is the profile's: it stays, unless it is Auth0's initials, another placeholder, missing or
// unusable. Of a Gravatar only what shows without one is replaced. The profile is not changed.
// How to change it: run `picture-audit plan` and `picture-audit apply` again.
// How to remove it: run `picture-audit undo` with the journal of the apply, or take it out of
// Actions > Triggers > post-login in Auth0's dashboard, deploy, and delete it.
// It needs no dependency and no secret, asks nothing of any network and logs nothing.
"use strict";

{decision}
exports.onExecutePostLogin = async (event, api) => {{
  try {{
    const after = pictureAfter(event?.user, event?.connection?.name, Date.now());
    if (after !== null) api.idToken.setCustomClaim("picture", after);
  }} catch {{
    // Nobody's login fails because of a picture.
  }}
}};
"""

_RULES_ENDED = """\
// By Auth0's schedule Rules ended on 2026-11-18, and new tenants never had them. What replaced
// them are post-login Actions: `picture-audit plan` with `--through action` makes one that
// does the same. This is for tenants that can still run Rules; nothing deploys it.
"""

_OVERRIDE_RULE = """\
// Rule: `user_metadata.picture` comes before the profile's picture.
// Corrected: users without metadata do not fail to log in, and only an https URL is taken.
{ended}function (user, context, callback) {{
  const picture = user?.user_metadata?.picture;
  if (typeof picture === "string" && /^https:\\/\\/[^/?#\\\\\\s]/i.test(picture)) {{
    user.picture = picture;
  }}
  callback(null, user, context);
}}
"""

_DEFAULT_RULE = """\
// Rule: the default picture.
// Corrected: users without a picture do not fail to log in, and initials images that are no
// Gravatar URL are replaced too.
{ended}function (user, context, callback) {{
{decision}
  try {{
    const after = pictureAfter(user, context?.connection, Date.now());
    if (after !== null) user.picture = after;
  }} catch {{
    // Nobody's login fails because of a picture.
  }}
  callback(null, user, context);
}}
"""

# What the twin reads addresses by, and does not spell itself.
_WORDS: Final = {
    "unfilled": UNFILLED,
    "no_hosts": sorted(NO_HOSTS),
    "signed": SIGNED,
    "clouds": CLOUDS,
    "keys": KEYS,
    "longest": LONGEST,
    "nobody": sorted(NOBODY),
    "token_only": TOKEN_ONLY,
}
_ELSEWHERE: Final = {"words": WORDS, "key": KEY, "thumbnail": THUMBNAIL}


@cache
def _twin() -> str:
    return files("toolkit.change").joinpath("policy.js").read_text("utf-8")


def _json(value: object) -> str:
    # `<` only ever stands inside a string, and there `\u003c` means the same.
    return json.dumps(value, ensure_ascii=True).replace("<", "\\u003c")


def _row(rule: Rule) -> dict[str, Any]:
    """Return what the twin needs of a rule; what is not there is empty."""
    names = ("source", "hosts", "path", "expires", "expires_in_path", "fallback", "hash_in")
    found = {name: getattr(rule, name) for name in names}
    if rule.fallback is Fallback.CUSTOM:
        found["fallback"] = None
    elif rule.fallback is None:
        found["gravatar"] = True
    return {name: value for name, value in found.items() if value}


def _decision(policy: Policy) -> str:
    """Return the twin with this policy and the rule table in it."""
    lines = ",\n".join(f"    {_json(_row(rule))}" for rule in RULES)
    values = {"policy": asdict(policy), "words": _WORDS, "elsewhere": _ELSEWHERE}
    named = "".join(f'  "{name}": {_json(value)},\n' for name, value in values.items())
    config = f'{{\n{named}  "rules": [\n{lines}\n  ]\n}}'
    # A function, because a replacement text would have its backslashes read.
    return _PLACE.sub(lambda _: f"{CONFIG}{config};", _twin())


def _within_limit(code: str) -> str:
    if len(code) > LARGEST:  # all of it is ASCII
        raise SettingsError(
            f"The code would be {len(code):,} characters long; Auth0 takes {LARGEST:,}. "
            "Name fewer connections or former pictures."
        )
    return code


def action_code(policy: Policy) -> str:
    """Return the code of the post-login Action that carries a policy out.

    It is CommonJS for Auth0's runtime `node22`, ASCII, and never throws, whatever the event holds.

    Raises:
        SettingsError: the policy is too large for an Action.
    """
    code = _ACTION.format(decision=_decision(policy))
    return _within_limit(f"{MARKER}1\n{_DIGEST}{_digest(code)}\n{code}")


def default_rule(policy: Policy) -> str:
    """Return the Rule that does what the Action does, for tenants that still run Rules.

    Raises:
        SettingsError: the policy is too large for a Rule.
    """
    decision = indent(_decision(policy), "  ").rstrip()
    return _within_limit(_DEFAULT_RULE.format(ended=_RULES_ENDED, decision=decision))


def override_rule() -> str:
    """Return the Rule that lets `user_metadata.picture` come first, where it is an https URL."""
    return _OVERRIDE_RULE.format(ended=_RULES_ENDED)


def recognised(code: object) -> Policy | None:
    """Return the policy in an Action's code if this tool made it, or None. Never raises.

    If the code was edited since, or is of another version, it differs from the policy's
    `action_code`; `is_edited` tells which of the two.
    """
    policy = policy_in(code)
    try:
        return None if policy is None else Policy.from_dict(policy)
    except (ValueError, TypeError, LookupError, RecursionError, SettingsError):
        return None


def is_edited(code: str) -> bool | None:
    """Whether an Action of this tool, of any version, was edited; None if its code does not say.

    The first Actions did not say the SHA-256 of their code.
    """
    line, _, rest = code.partition("\n")[2].partition("\n")
    return line != f"{_DIGEST}{_digest(rest)}" if line.startswith(_DIGEST) else None


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode(errors="surrogatepass")).hexdigest()
