"""Ask a running change, from any process, to pause, to go on, or to stop.

The request is a file beside the journal, at which the run looks between two writes. It is no part
of the record: the run removes it when it begins and when it ends.
"""

from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from toolkit.errors import OutputError
from toolkit.snapshots.storage import replacing

_MOST = 16  # bytes; a request is one word


class Request(StrEnum):
    """What a running change is asked for."""

    PAUSE = "pause"
    STOP = "stop"


def request_path(journal: Path) -> Path:
    """Return where a request to the run of this journal stands."""
    return journal.with_name(f"{journal.name}.request")


def ask(journal: Path, request: Request | None) -> None:
    """Ask whoever writes this journal to pause or to stop; None: to go on.

    Raises:
        OutputError: the request cannot be written.
    """
    if request is None:
        forget(journal)
        return
    with replacing(request_path(journal)) as file:
        file.write(request.encode())


def asked(journal: Path) -> Request | None:
    """Return what the run of this journal is asked for; None for nothing."""
    with suppress(OSError, ValueError), request_path(journal).open("rb") as file:
        return Request(file.read(_MOST).decode("ascii"))
    return None


def forget(journal: Path) -> None:
    """Remove a request.

    Raises:
        OutputError: it cannot be removed.
    """
    try:
        request_path(journal).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"Cannot remove {request_path(journal)}: {error.strerror or error}."
        ) from error
