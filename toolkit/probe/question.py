"""What Gravatar is asked about one picture URL, and what it can answer."""

from enum import StrEnum
from typing import NamedTuple

RATINGS = ("g", "pg", "r", "x")
"""Ratings of pictures, mildest first (Gravatar docs, "Images")."""


class Question(NamedTuple):
    """Whether Gravatar has a picture for this hash that may be shown at this rating.

    Attributes:
        hash: 32 (MD5) or 64 (SHA-256) lower-case hex digits.
        rating: the rating in the user's own URL, one of `RATINGS`. A picture rated higher
            is not shown there, so it counts as none.
    """

    hash: str
    rating: str = "g"


class Answer(StrEnum):
    """What a question led to."""

    PRESENT = "present"
    ABSENT = "absent"
    UNCLEAR = "unclear"
