"""Identifiers as they may be shown: enough to tell users apart, too little to know them."""

from toolkit.wording import visible

_ENDS = 2
_LONGEST = 40


def mask(user_id: str) -> str:
    """Return a user_id with the middle of what stands behind its connection left out.

    `auth0|5f7c8ec7c33c6c004bbafe82` becomes `auth0|5f…82`. What stands before the first
    `|` names a strategy and stays. What is an e-mail address may stand anywhere behind it,
    and hold a `|` itself: of all of that only the first and last two characters stay.
    """
    strategy, bar, rest = user_id.partition("|")
    if not bar or "@" in strategy:
        strategy, bar, rest = "", "", user_id
    short = len(rest) < 4 * _ENDS
    masked = f"{strategy[:_LONGEST]}{bar}{'…' if short else f'{rest[:_ENDS]}…{rest[-_ENDS:]}'}"
    return visible(masked)


def mask_email(email: str) -> str:
    """Return an e-mail address with its name and its domain left out: `c•••@e•••.org`."""
    name, at, domain = email.rpartition("@")
    if not at:
        return "•••"
    host, dot, top = domain.rpartition(".")
    return visible(f"{name[:1]}•••@{host[:1]}•••{dot}{top if dot else ''}")
