"""Recordings of the real API, and what a comparison with an answer of the sandbox says."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

_SEGMENT = r"([^/]+)"
_ENDPOINTS = [
    ("GET POST", "/api/v2/users"),
    ("GET", "/api/v2/users-by-email"),
    ("GET PATCH DELETE", "/api/v2/users/{id}"),
    ("POST", "/api/v2/jobs/users-exports"),
    ("GET", "/api/v2/jobs/{id}"),
    ("GET", "/api/v2/jobs/{id}/errors"),
    ("GET", "/api/v2/connections"),
    ("GET", "/api/v2/connections/{id}"),
    ("GET POST", "/api/v2/actions/actions"),
    ("GET PATCH DELETE", "/api/v2/actions/actions/{id}"),
    ("POST", "/api/v2/actions/actions/{id}/deploy"),
    ("POST", "/api/v2/actions/actions/{id}/test"),
    ("GET", "/api/v2/actions/actions/{id}/versions"),
    ("GET", "/api/v2/actions/actions/{id}/versions/{version}"),
    ("POST", "/api/v2/actions/actions/{id}/versions/{version}/deploy"),
    ("GET", "/api/v2/actions/triggers"),
    ("GET PATCH", "/api/v2/actions/triggers/{trigger}/bindings"),
    ("GET POST", "/api/v2/rules"),
    ("GET PATCH", "/api/v2/rules/{id}"),
    ("POST", "/oauth/token"),
]
_PATTERNS = [
    (
        methods.split(),
        re.compile(re.sub(r"\{\w+\}", _SEGMENT, path)),
        re.sub(r"\A/(api/v2/)?", "", path),
    )
    for methods, path in _ENDPOINTS
]

# What answers have got or lost while the recordings were made: an older recording without the
# first, and one with the second, call nothing wrong.
ADDED = {
    "connections": ("authentication", "connected_accounts"),
    "actions": ("binding_policy",),  # of triggers
}
ENDED = {"connections": ("enabled_clients",)}  # in July 2026
# Below these the sandbox shows nothing of its own: it is what a tenant's admin typed.
_TYPED = ("options", "metadata", "user_metadata", "app_metadata")

_TYPES = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
_ERROR = ("statusCode", "error", "message", "errorCode", "error_description")


@dataclass(frozen=True)
class Recorded:
    """One request to the real API, and its answer; `headers` has names and the content type."""

    source: str
    file: str
    method: str
    path: str
    query: str
    raw: str
    request: Any
    status: int
    response: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def endpoint(self) -> str | None:
        """Which of the sandbox's endpoints it asks, or None."""
        return next((name for name, _ in self._hits()), None)

    @property
    def ids(self) -> tuple[str, ...]:
        """What stands in its path for the names in braces."""
        return next((tuple(map(unquote, groups)) for _, groups in self._hits()), ())

    def target(self, path: str | None = None) -> str:
        """Return the path, or another one, with the query."""
        return (path or self.path) + (f"?{self.query}" if self.query else "")

    def _hits(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        for methods, pattern, name in _PATTERNS:
            if self.method in methods and (hit := pattern.fullmatch(self.path.rstrip("/"))):
                yield name, hit.groups()


def read(folder: Path) -> list[Recorded]:
    """Return the interactions of a folder's files, one JSON object a line."""
    names = Recorded.__dataclass_fields__
    found = []
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text("utf-8").split("\n")[:-1]:
            one = {name: value for name, value in json.loads(line).items() if name in names}
            body = one["raw"] if one["raw"].startswith("{") else "null"
            found.append(Recorded(**{"request": json.loads(body), "headers": {}} | one))
    return found


@dataclass
class Row:
    """How one answer compares; `why` says why it was not asked for."""

    one: Recorded
    why: str = ""
    status: int = 0
    body: Any = None
    wrong: tuple[str, ...] = ()  # here only, or of another type
    missing: tuple[str, ...] = ()  # there only
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def same_status(self) -> bool:
        """Whether the status is the recorded one."""
        return self.status == self.one.status

    @property
    def nothing_wrong(self) -> bool:
        """Whether nothing is extra or of another type."""
        return self.same_status and not self.wrong

    @property
    def same_shape(self) -> bool:
        """Whether keys and types are the same."""
        return self.nothing_wrong and not self.missing

    @property
    def is_error(self) -> bool:
        """Whether the recorded answer is a refusal."""
        return self.one.status >= 400

    @property
    def same_error(self) -> bool:
        """Whether a refusal says the same, word for word."""
        if not isinstance(self.body, dict):
            return False
        return all(self.one.response.get(name) == self.body.get(name) for name in _ERROR)

    @property
    def same_kind(self) -> bool:
        """Whether the content type is the same, and limits are told where they were told."""
        there, here = self.one.headers, self.headers
        kind = there.get("content-type")
        tells = [any(name.startswith("x-ratelimit") for name in some) for some in (there, here)]
        is_told = "date" in there  # other recordings have no limits at all
        return kind in {None, here.get("content-type")} and (tells[0] == tells[1] or not is_told)

    @property
    def told(self) -> str:
        """What differs, in a few words; nothing if nothing does."""
        if not self.same_status:
            return f"{self.one.status} there, {self.status} here"
        texts = [f"only there: {name}" for name in self.missing]
        texts += list(self.wrong)
        if self.is_error and not self.same_error:
            texts.append("another error text")
        if not self.same_kind:
            texts.append("other headers")
        return "; ".join(texts[:4])


def compared(one: Recorded, status: int, body: object, headers: Mapping[str, str]) -> Row:
    """Compare an answer of the sandbox with the recorded one."""
    row = Row(one, status=status, body=body, headers=headers)
    if status != one.status:
        return row
    there, here = _shape(one.response), _shape(body)
    kind = (one.endpoint or "").partition("/")[0]

    def only(
        some: Iterable[str], other: Mapping[str, object], names: Iterable[str]
    ) -> tuple[str, ...]:
        # Of a list that is empty on one side nothing can be said below it.
        ends = re.compile(rf"\[\]|\.({'|'.join(names) or '$'})\b")
        parts = ((path, [path[: end.end()] for end in ends.finditer(path)]) for path in some)
        return _tops(
            path for path, above in parts if path not in other and all(it in other for it in above)
        )

    row.missing = only(there, here, ENDED.get(kind, ()))
    extra = only(here, there, ADDED.get(kind, ()))
    types = [
        f"{path}: {'|'.join(sorted(there[path]))} there, {'|'.join(sorted(here[path]))} here"
        for path in there
        if path in here and not here[path] <= there[path]
    ]
    row.wrong = (*(f"only here: {path}" for path in extra), *types)
    return row


def _shape(value: object, path: str = "") -> dict[str, set[str]]:
    """Return the types of all values by their paths, as in `users[].name`."""
    found: dict[str, set[str]] = {path: {_TYPES.get(type(value), "number")}}
    inner: list[tuple[str, object]] = []
    if isinstance(value, dict) and path.rpartition(".")[2] not in _TYPED:
        inner = [(f"{path}.{name}", item) for name, item in value.items()]
    elif isinstance(value, list):
        inner = [(f"{path}[]", item) for item in value]
    for name, item in inner:
        for place, types in _shape(item, name).items():
            found.setdefault(place, set()).update(types)
    return found


def _tops(paths: Iterable[str]) -> tuple[str, ...]:
    """Return those paths that are not below another one."""
    found = sorted(paths)
    below = (".", "[")
    return tuple(
        path
        for path in found
        if not any(path.startswith(f"{one}{sign}") for one in found for sign in below)
    )
