"""What a file looks like that holds no users."""

from collections.abc import Sequence

from toolkit.errors import UnreadableInputError


def refuse_if_no_users(records: Sequence[object], name: str) -> None:
    """Raise UnreadableInputError: in the first records of a file there is no user with an id."""
    del records
    raise UnreadableInputError(
        f"{name} holds no users that can be read: export user_id and picture, too."
    )
