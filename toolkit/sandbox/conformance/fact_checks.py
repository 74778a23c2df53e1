"""How each fact is looked at: a small function that says in our own words what it saw."""

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from toolkit.classification.sources import classify
from toolkit.sandbox.conformance.recording import CANONICAL
from toolkit.sandbox.conformance.scratch_tenant import (
    CannotTellError,
    Scratch,
    content,
    lines_in,
    told,
)

Check = Callable[[Scratch], str]
"""Looks at a tenant with made-up users in it. Nothing of what it answered is passed on as it is."""

# Pictures of new and changed users


def _parts(user: Mapping[str, Any]) -> re.Match[str] | None:
    picture = user.get("picture")
    return CANONICAL.fullmatch(picture) if isinstance(picture, str) else None


def _kind(user: Mapping[str, Any]) -> str:
    """Say in our words what a picture is that has not the expected form."""
    picture = user.get("picture")
    return f"another picture: {classify(picture).source}" if picture else "no picture"


def _hashes(email: str) -> dict[str, str]:
    data = email.encode()
    return {
        hashlib.md5(data, usedforsecurity=False).hexdigest(): "MD5",
        hashlib.sha256(data).hexdigest(): "SHA-256",
    }


def new_picture(scratch: Scratch) -> str:
    """Say what the picture of a new user is."""
    user = scratch.user("plain")
    found = _parts(user)
    if found is None:
        return _kind(user)
    kind = _hashes(scratch.email("plain")).get(found["hash"], "another hash")
    return f"s.gravatar.com, {kind} of the address, letters behind it"


def letters(key: str) -> Check:
    """Return a check of the letters behind a new user's Gravatar."""

    def check(scratch: Scratch) -> str:
        user = scratch.user(key)
        found = _parts(user)
        if found is None:
            return _kind(user)
        letters = unquote(unquote(found["letters"]))
        ours = set(f"{user.get('name')} {scratch.email(key)}".casefold())
        return letters if set(letters.casefold()) <= ours else "other letters"

    return check


def renamed(scratch: Scratch) -> str:
    """Give a user another name, and look at the picture."""
    return _after(scratch, "renamed", {"name": "Otto Kern"})


def moved(scratch: Scratch) -> str:
    """Give a user another address, and look at the picture."""
    # Without `verify_email: false` the new address would get a mail.
    new = scratch.email("moved", other=True)
    return _after(scratch, "moved", {"email": new, "verify_email": False})


def _after(scratch: Scratch, key: str, changes: Mapping[str, Any]) -> str:
    """Say what a change of a user made of the picture."""
    answer = scratch.change(key, changes)
    if not answer.is_success:
        return told(answer)
    before, user = scratch.user(key), content(answer)
    if user.get("picture") == before.get("picture"):
        return "the same picture"
    found, former = _parts(user), _parts(before)
    if found is None or former is None:
        return _kind(user)
    what = ["hash"] * (found["hash"] != former["hash"])
    what += ["letters"] * (found["letters"] != former["letters"])
    return f"other {' and '.join(what)}"


def emptied(scratch: Scratch) -> str:
    """Write a null as a picture."""
    answer = scratch.change("emptied", {"picture": None})
    if not answer.is_success:
        return told(answer)
    user = content(answer)
    if user.get("picture") == scratch.user("emptied").get("picture"):
        return "taken, the picture stays"
    return f"taken, {_kind(user)}"


def worded(text: str) -> Check:
    """Return a check that writes a text as a picture."""

    def check(scratch: Scratch) -> str:
        answer = scratch.change("worded", {"picture": text})
        return told(answer)

    return check


# What else is written


def note_removed(scratch: Scratch) -> str:
    """Remove the only key of a user's metadata."""
    answer = scratch.change("noted", {"user_metadata": {"note": None}})
    if not answer.is_success:
        return told(answer)
    user = scratch.read("noted")
    if "user_metadata" not in user:
        return "no user_metadata"
    return "an empty object" if user["user_metadata"] == {} else "something else"


def created_at(scratch: Scratch) -> str:
    """Change a user, and compare when it was made."""
    before = scratch.read("plain").get("created_at")
    answer = scratch.change("plain", {"nickname": "conform"})
    if not answer.is_success:
        return told(answer)
    return "the same" if before and before == scratch.read("plain").get("created_at") else "another"


# Searches


def _ours(scratch: Scratch) -> str:
    return f"email:{scratch.run.user(1).own_id.removesuffix('01')}*"


def walk(scratch: Scratch) -> str:
    """Search our users by when they were made, sorted by it."""
    times = sorted(str(one.get("created_at")) for one in scratch.made)
    q = f"{_ours(scratch)} AND created_at:[{times[0]} TO {times[-1]}]"
    found: list[Any] = []

    def is_whole() -> bool:
        answer = scratch.search(q, sort="created_at:1", per_page=100)
        if not answer.is_success:
            raise CannotTellError(f"the tenant refused the search ({told(answer)})")
        body = content(answer)
        users = body.get("users")
        found[:] = users if isinstance(users, list) else []
        return len(found) == body.get("total") == len(times)

    scratch.until(is_whole, "the search did not show the made-up users")
    shown = [one.get("created_at") if isinstance(one, dict) else None for one in found]
    return f"all of them, in {'' if shown == times else 'another '}order"


def refused(q: str) -> Check:
    """Return a check of a search; `RUN` in it is the run's name."""
    return lambda scratch: told(scratch.search(q.replace("RUN", scratch.run.name), per_page=1))


def per_page(scratch: Scratch) -> str:
    """Ask for pages of 100 and of 101."""
    most, more = (scratch.search(_ours(scratch), per_page=number) for number in (100, 101))
    limit = content(most).get("limit")
    shown = f"{told(most)}{'' if limit in (100, None) else ', but fewer'}"
    return f"100: {shown}; 101: {told(more)}"


def last_page(scratch: Scratch) -> str:
    """Ask for the page before the one that would end behind 1,000, and for that one."""
    # 33 * 30 is less than 1,000, and 34 * 30 is more.
    pages = (scratch.search(_ours(scratch), per_page=30, page=page) for page in (32, 33))
    return "; ".join(f"page {page}: {told(one)}" for page, one in zip((32, 33), pages, strict=True))


def total(scratch: Scratch) -> str:
    """Say whether a tenant with many users counts them all."""
    if scratch.users_before < _REACHABLE:
        raise CannotTellError("the tenant has fewer than 1,000 users")
    return "it stops at 1,000" if scratch.users_before == _REACHABLE else "it counts on"


# Exports, and what is not there

_REACHABLE = 1000
_ENDINGS = (".json.gz", ".ndjson.gz", ".gz", ".ndjson", ".json")


def file_name(scratch: Scratch) -> str:
    """Say how the name of an export's file ends."""
    name = PurePosixPath(urlsplit(str(scratch.export.location)).path).name
    return next((one for one in _ENDINGS if name.endswith(one)), "another ending")


def packed(scratch: Scratch) -> str:
    """Say whether an export is gzip."""
    return "gzip" if scratch.exported.startswith(b"\x1f\x8b") else "not gzip"


def location(scratch: Scratch) -> str:
    """Say whether an export names one file."""
    return "one text" if isinstance(scratch.export.location, str) else "something else"


def everybody(scratch: Scratch) -> str:
    """Say whether an export without a limit has everybody."""
    if scratch.export.limited:
        raise CannotTellError("the tenant has too many users to export all for this")
    whole = lines_in(scratch.exported) >= scratch.users_before + len(scratch.made)
    return "everybody" if whole else "fewer than there are"


def absent(path: str) -> Check:
    """Return a check of something that is not there."""
    return lambda scratch: told(scratch.ask("GET", path))


def rules(scratch: Scratch) -> str:
    """Read one Rule."""
    query: dict[str, str | int] = {"fields": "id", "include_fields": "true", "per_page": 1}
    answer = scratch.ask("GET", "rules", query=query)
    if content(answer).get("errorCode") == "rules_not_allowed":
        # Auth0, "Deprecations and Migrations": no tenant made since 2023-10-16 has Rules.
        raise CannotTellError("the tenant may not have Rules, as none made since 2023-10-16 may")
    return told(answer)
