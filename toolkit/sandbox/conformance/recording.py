"""What was asked and answered, in a form that can be sent to others: nobody and no tenant in it.

Of an answer only what is on a list is kept: the names of Auth0's own attributes, the words of its
errors, numbers that count. Everything else is replaced by its kind. What we sent is kept, as it is
made up, without passwords.
"""

import json
import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import unquote

import httpx

from toolkit.sandbox.conformance.made_users import PREFIX

CANONICAL: Final = re.compile(
    r"https://s\.gravatar\.com/avatar/(?P<hash>[0-9a-f]+)\?s=480&r=pg"
    r"&d=https%3A%2F%2Fcdn\.auth0\.com%2Favatars%2F(?P<letters>[^.]{1,40})\.png"
)
"""The picture of a new user, as far as it is recorded."""

# Names that may stand in a recording: the attributes of Auth0's API that answers here have.
_NAMES: Final = frozenset(
    """
    statusCode error message errorCode attributes users start limit length total user_id email
    email_verified name nickname picture given_name family_name username phone_number
    phone_verified created_at updated_at last_login logins_count blocked identities connection
    provider isSocial profileData user_metadata app_metadata note password verify_email fields
    include_fields include_totals id type status format connection_id export_as location
    percentage_done time_left_seconds status_details summary strategy enabled script order stage
    """.split()
)
_WORDS: Final = frozenset({"error", "errorCode", "message", "type", "status", "format", "provider"})
_COUNTS: Final = frozenset(
    """
    statusCode start limit length total logins_count percentage_done time_left_seconds
    """.split()
)
_MOST_ITEMS: Final = 3
_KNOWN_HOSTS: Final = frozenset("auth0.com example.com www.example.com".split())
_OWN = re.compile(rf"(?:auth0\|)?{PREFIX}RUN-\d\d(?:-moved)?(?:@example\.com)?")
_HASH = re.compile(r"(?<=/avatar/)[0-9a-f]+")
_ADDRESS = re.compile(r"[^\s\"'<>@,;()]+@[^\s\"'<>@,;()]+")
_USER_ID = re.compile(r"[\w-]+\|[^\s\"'<>,;()]+")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_TOKEN = re.compile(r"(?<![\w-])(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{16,}(?![\w-])")
_HOST = re.compile(r"(?<![\w.-])(?:[\w-]+\.)+[A-Za-z]{2,}(?::\d+)?(?![\w-])")
_PATTERNS: Final = (
    (_ADDRESS, "<address>"),
    (_USER_ID, "<id>"),
    (_TIME, "<time>"),
    (_TOKEN, "<id>"),
    (_HOST, "<host>"),
)


class Mask:
    """Replaces what must not be told.

    `hidden` are words, each with what stands for it; the run's name becomes `RUN`.
    """

    def __init__(self, run: str, hidden: Mapping[str, str]) -> None:
        known = sorted(hidden.items(), key=lambda pair: -len(pair[0]))
        self._run = run
        self._hidden = [
            (re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE), instead)
            for word, instead in known
            if word
        ]

    def text(self, text: str) -> str:
        """Return a text without the words, and without what looks like an id, address or host."""
        text = text.replace(self._run, "RUN")
        for pattern, instead in self._hidden:
            text = pattern.sub(instead, text)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(partial(_replaced, instead), text)
        return text

    def sent(self, value: object) -> object:
        """Return what we sent: all of it but passwords."""
        if isinstance(value, Mapping):
            return {
                name: "<password>" if name == "password" else self.sent(one)
                for name, one in value.items()
            }
        if isinstance(value, list):
            return [self.sent(one) for one in value]
        return self.text(value) if isinstance(value, str) else value

    def answered(self, value: object, name: str = "") -> object:
        """Return the form of an answer, and of its contents what is known to be harmless."""
        if isinstance(value, dict):
            pairs = enumerate(value.items(), 1)
            return {
                key if key in _NAMES else f"<name {number}>": self.answered(one, key)
                for number, (key, one) in pairs
            }
        if isinstance(value, list):
            shown = [self.answered(one, name) for one in value[:_MOST_ITEMS]]
            more = len(value) - len(shown)
            return [*shown, *([f"<{more} more>"] if more else [])]
        if isinstance(value, str):
            return self._told(value, name)
        if isinstance(value, bool) or value is None or name in _COUNTS:
            return value
        return "<number>"

    def _told(self, text: str, name: str) -> str:
        if name in _WORDS or (name in {"user_id", "email"} and self._run in text):
            return self.text(text)
        if name == "picture":
            return _HASH.sub("<hash>", text) if CANONICAL.fullmatch(text) else "<another picture>"
        return "<time>" if _TIME.fullmatch(text) else "<text>"


def _replaced(instead: str, found: re.Match[str]) -> str:
    """Replace what looks like an id, an address or a host, unless it is ours or Auth0's own."""
    known = _OWN.fullmatch(found[0]) or found[0] in _KNOWN_HOSTS
    return found[0] if known else instead


def exchange(
    mask: Mask,
    method: str,
    path: str,
    query: Mapping[str, str | int] | None,
    body: object,
    answer: httpx.Response,
) -> dict[str, Any]:
    """Return one request and its answer, masked: of the headers only the names."""
    try:
        received = mask.answered(answer.json()) if answer.content else None
    except (ValueError, RecursionError):
        received = "<no JSON>"
    return {
        "method": method,
        "path": mask.text(unquote(path)),
        "query": mask.sent(dict(query or {})),
        "request": mask.sent(body),
        "status": answer.status_code,
        "headers": sorted({name.lower() for name in answer.headers}),
        "response": received,
    }


def lines(documents: Iterable[Mapping[str, Any]]) -> bytes:
    """Write documents as NDJSON."""
    return b"".join(json.dumps(one, ensure_ascii=True).encode() + b"\n" for one in documents)
