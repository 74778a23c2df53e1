"""How carefully users are written, and whether anything is written at all."""

from dataclasses import dataclass
from typing import Final

STOP_SHARE: Final = 0.05
"""The share of writes that may fail or be refused before it stops by itself."""

WORKERS: Final = 8
"""Requests under way at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Safeguards:
    """How carefully users are written; as they are, a rehearsal.

    Attributes:
        execute: whether anything is written; else everything but the writes is done.
        confirm: the tenant's domain, typed once more; needed to execute.
        limit: users that this run writes at most, or None; the next run goes on.
        canary: users who are written and read back first; None for a few, 0 for nobody.
        stop_share: the share of writes that may fail before it stops; it also stops where
            nearly all of the last twenty users are gone or failed. With 1 it never does.
        workers: how many writes are under way at once; the pace is the tenant's anyhow.
    """

    execute: bool = False
    confirm: str | None = None
    limit: int | None = None
    canary: int | None = None
    stop_share: float = STOP_SHARE
    workers: int = WORKERS


REHEARSAL: Final = Safeguards()
"""Nothing is written."""
