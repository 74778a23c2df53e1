"""A plan as a file: Parquet, one row for each user, and what is known of all in its header."""

import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from toolkit.change.edit import Edit, Field
from toolkit.damage import ARROW_DAMAGE
from toolkit.draft import replacing
from toolkit.errors import PictureAuditError, UnreadableInputError
from toolkit.plan import CHANGE, ROWS, Plan
from toolkit.replacement import replaced_metadata, replaced_root
from toolkit.way import Way

VERSION: Final = 1
_BATCH = 65_536
_FIELDS = {Way.ROOT: Field.ROOT, Way.METADATA: Field.METADATA}


class RowWriter:
    """Writes a plan's rows piece by piece. Made by `writing_rows`."""

    def __init__(self, file: IO[bytes]) -> None:
        # As for snapshots: with Arrow's own schema stored, the header would be looked for there.
        self._parquet = pq.ParquetWriter(file, ROWS, compression="zstd", store_schema=False)

    def add(self, rows: pa.Table) -> None:
        """Append rows."""
        if len(rows):
            self._parquet.write_table(rows)

    def finish(self, plan: Plan) -> None:
        """Write what is known of all rows; to be called once, at the end."""
        header = {"plan_version": str(VERSION), "plan": json.dumps(plan.as_dict())}
        self._parquet.add_key_value_metadata(header)

    def close(self) -> None:
        """End the file."""
        self._parquet.close()


@contextmanager
def writing_rows(path: Path) -> Iterator[RowWriter]:
    """Write a plan piece by piece; it takes its place only once it is finished.

    It is readable by its owner only: it is personal data.

    Raises:
        OutputError: the file cannot be written there; what stood there before still does.
    """
    with replacing(path) as file, closing(RowWriter(file)) as writer:
        yield writer


def read_plan(path: Path | str) -> Plan:
    """Read a plan's header; its rows are read as they are asked for.

    Args:
        path: the file that `toolkit.plan` wrote.

    Returns:
        The plan.

    Raises:
        UnreadableInputError: it does not exist, is no plan, or is of another version.
    """
    try:
        metadata = pq.read_schema(path).metadata or {}
    except ARROW_DAMAGE as error:
        what = "does not exist" if isinstance(error, FileNotFoundError) else "is not a plan"
        raise UnreadableInputError(f"{path} {what}: make one with picture-audit plan.") from error
    version = metadata.get(b"plan_version", b"").decode("ascii", "replace")
    if version.isdigit() and int(version) != VERSION:
        raise UnreadableInputError(
            f"{path} is of another version of picture-audit: make a new plan."
        )
    try:
        return Plan.from_dict(json.loads(metadata[b"plan"]), Path(path))
    except (AttributeError, KeyError, TypeError, ValueError, PictureAuditError) as error:
        raise UnreadableInputError(
            f"{path} is not a plan, or is damaged: make a new one with picture-audit plan."
        ) from error


def rows(plan: Plan, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """Yield a plan's rows piece by piece, so that memory holds one piece at a time.

    Args:
        plan: a plan that was read from a file or written to one.
        columns: which columns of `toolkit.plan.ROWS`, or None for all.

    Raises:
        UnreadableInputError: the file is gone or damaged.
    """
    if plan.path is None:
        raise UnreadableInputError(
            "The plan was only counted: make it again with a file to keep it."
        )
    try:
        with pq.ParquetFile(plan.path) as file:
            for batch in file.iter_batches(_BATCH, columns=columns):
                # Or texts that are no UTF-8 would break something later.
                batch.validate(full=True)
                yield pa.Table.from_batches([batch])
    except ARROW_DAMAGE as error:
        raise UnreadableInputError(f"{plan.path} is gone or damaged: make a new plan.") from error


def edits(plan: Plan) -> Iterator[Edit]:
    """Yield the changes of users that a plan holds, in its order; none for an Action or a Rule."""
    if plan.way not in _FIELDS:
        return
    field, number = _FIELDS[plan.way], 0
    for piece in rows(plan):
        for row in piece.filter(pc.field("outcome") == CHANGE).to_pylist():
            if number >= plan.changes or row["after"] != _decided(plan, row):
                raise UnreadableInputError(
                    f"{plan.path} was edited: its rows are not what its policy says. Make a "
                    "new plan."
                )
            watched = ("connection", Field.ROOT.value, Field.METADATA.value)
            yield Edit(
                number,
                row["user_id"],
                row["connection"],
                row["strategy"],
                field,
                row["after"],
                tuple((name, row[name]) for name in watched),
            )
            number += 1


def _decided(plan: Plan, row: Mapping[str, Any]) -> str | None:
    """Decide once more about a user, as the plan did."""
    if plan.way is Way.ROOT:
        return replaced_root(
            row["picture"], connection=row["connection"], policy=plan.policy, now=plan.made_at
        ).after
    return replaced_metadata(
        row["picture"],
        metadata_picture=row["metadata_picture"],
        connection=row["connection"],
        policy=plan.policy,
        now=plan.made_at,
    ).after
