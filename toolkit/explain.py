"""Why a picture is what it is, in words."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from toolkit.picture import classify
from toolkit.user import user


def explain(subject: str | Mapping[str, Any]) -> dict[str, Any]:
    """Classify one picture URL, or the picture of one Auth0 user object, and say why.

    Args:
        subject: a URL, or a user object as the Management API returns it.

    Returns:
        The classification columns of a snapshot and `reason`, as plain JSON values
        (times as ISO 8601); for a user object `user_id` too.
    """
    if isinstance(subject, str):
        verdict, named = classify(subject), {}
    else:
        one = user(subject)
        named = {"user_id": one.user_id}
        verdict = classify(
            one.picture,
            metadata_picture=one.metadata_picture,
            strategy=one.strategy,
            connection=one.connection,
        )
    expires_at = verdict.expires_at.isoformat() if verdict.expires_at else None
    return named | asdict(verdict) | {"expires_at": expires_at}
