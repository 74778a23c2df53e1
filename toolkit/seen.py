"""What people see where a user's picture belongs: their own, a stand-in, or nothing."""

from enum import StrEnum

from toolkit.picture import Source


class Seen(StrEnum):
    """What people see, from a picture of the user's own to nothing at all."""

    OWN = "own"
    UNKNOWN = "unknown"
    INITIALS = "initials"
    PLACEHOLDER = "placeholder"
    BROKEN = "broken"
    NONE = "none"

    @property
    def meaning(self) -> str:
        """One line of plain words, for legends and tables."""
        return _MEANINGS[self]


_MEANINGS = {
    Seen.OWN: "a picture of their own",
    Seen.UNKNOWN: "nobody has asked what",
    Seen.INITIALS: "Auth0's initials",
    Seen.PLACEHOLDER: "a stock image",
    Seen.BROKEN: "a broken image: expired, or no URL that a browser could show",
    Seen.NONE: "nothing",
}

# What a root picture of each source shows while its URL works.
_SHOWS = {
    Source.SOCIAL: Seen.OWN,
    Source.ENTERPRISE: Seen.OWN,
    Source.GRAVATAR: Seen.OWN,
    Source.CUSTOM: Seen.OWN,
    Source.UNRESOLVED: Seen.UNKNOWN,
    Source.INITIALS: Seen.INITIALS,
    Source.PLACEHOLDER: Seen.PLACEHOLDER,
    Source.MISSING: Seen.NONE,
    Source.INVALID: Seen.BROKEN,
}


def seen(
    source: Source, underlying: Source | None, *, expired: bool, overrides: bool | None
) -> Seen:
    """Say what people see.

    Args:
        source: what the person's picture is.
        underlying: what the root picture is, override or not; None where nobody knows.
        expired: whether the root picture's signed URL has stopped working.
        overrides: whether anything makes `user_metadata.picture` reach people
            (`toolkit.wiring.Wiring.override`); None where nobody knows.
    """
    if source is not Source.METADATA:
        return _root(source, expired=expired)
    if overrides:
        return Seen.OWN
    below = _root(underlying, expired=expired)
    # With or without the override they see a picture of their own, or else it depends.
    return below if overrides is False or below is Seen.OWN else Seen.UNKNOWN


def _root(source: Source | None, *, expired: bool) -> Seen:
    if source is None or source is Source.METADATA:
        return Seen.UNKNOWN
    shown = _SHOWS[source]
    return Seen.BROKEN if expired and shown is Seen.OWN else shown
