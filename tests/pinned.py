"""Comparing with a literal what users and scripts rely on."""

from collections.abc import Iterator, Mapping
from typing import Any

SOURCES = set(
    "social enterprise gravatar metadata custom unresolved initials placeholder missing "
    "invalid".split()
)
# Objects whose keys are names of connections.
BY_CONNECTION = {"coverage --by.groups", "plan.tally.connections"}


def table(text: str) -> dict[str, str]:
    """Return the entries of a table: a name, a colon, and words, maybe over several lines."""
    lines = text.strip().replace("\n    ", " ").splitlines()
    pairs = (line.partition(":") for line in lines)
    return {name: " ".join(words.split()) for name, _, words in pairs}


def pinned(surface: str, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Fail with what is new, gone or different, and why that matters."""
    told = [
        f"{name}:\n  {expected.get(name, 'nothing')}\n  {found.get(name, 'nothing')}"
        for name in sorted({*found, *expected})
        if found.get(name) != expected.get(name)
    ]
    assert not told, "\n".join(
        [
            f"{surface} changed, and users and scripts rely on it. Change what is pinned only",
            "where that is meant, and say so in the changelog. Pinned, then found:",
            *told,
        ]
    )


def keys(where: str, value: Any) -> Iterator[tuple[str, set[str]]]:
    """Yield which keys each object has, the outermost first."""
    if isinstance(value, list):
        for one in value:
            yield from keys(f"{where}[]", one)
    elif isinstance(value, dict) and value:
        kind = "CONNECTION" if where in BY_CONNECTION else None
        if value.keys() <= SOURCES:
            kind = "SOURCE"
        if kind is None:
            yield where, set(value)
        for name, one in value.items():
            yield from keys(f"{where}.{kind or name}", one)


def keys_of(documents: Mapping[str, list[Any]]) -> dict[str, str]:
    """Return the keys of objects by where they are, those of all documents of one name."""
    found: dict[str, set[str]] = {}
    for name, same in documents.items():
        for one in same:
            for where, some in keys(name, one):
                found.setdefault(where, set()).update(some)
    return {where: " ".join(sorted(some)) for where, some in found.items()}
