"""A plan as a file: Parquet, one row for each user, and the summary in its header.

The header contains a SHA-256 of the rows and of itself, so that an edited plan is noticed before
anything is done. It is no signature: whoever can write the file can make another plan.
"""

import hashlib
import json
import os
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from toolkit.analysis.duckdb_engine import ARROW_DAMAGE
from toolkit.analysis.file_header import header
from toolkit.analysis.own_action import Step
from toolkit.change.decide import CHANGE, ROWS
from toolkit.change.edit import Edit, Field
from toolkit.change.javascript import action_code, default_rule, override_rule, recognised
from toolkit.change.plan_summary import Plan
from toolkit.change.policy import Policy, replaced_metadata, replaced_root
from toolkit.change.ways import Way
from toolkit.errors import PictureAuditError, SettingsError, UnreadableInputError
from toolkit.progress import Progress
from toolkit.snapshots.storage import replacing

VERSION: Final = 2
_BATCH = 65_536
_BLOCK = 1 << 20
_TAIL = 8  # bytes: a Parquet file ends in its footer's length and the letters PAR1
_FIELDS = {Way.ROOT: Field.ROOT, Way.METADATA: Field.METADATA}


class _Hashed:
    """A file to write to, and the SHA-256 of its content."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        """Write bytes."""
        self.digest.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        """Write the bytes that were held back."""
        self._file.flush()


class RowWriter:
    """Writes a plan's rows in pieces. Made by `writing_rows`."""

    def __init__(self, file: IO[bytes]) -> None:
        self._hashed = _Hashed(file)
        # As for snapshots: with Arrow's own schema, readers would look for the header there.
        self.parquet = pq.ParquetWriter(self._hashed, ROWS, compression="zstd", store_schema=False)

    def add(self, rows: pa.Table) -> None:
        """Append rows."""
        self.parquet.write_table(rows)

    def finish(self, plan: Plan) -> None:
        """Write the summary; call it once, at the end."""
        header = {"plan_version": str(VERSION), "plan": json.dumps(plan.as_dict())}
        digest = self._hashed.digest.copy()
        digest.update(header["plan"].encode())
        self.parquet.add_key_value_metadata(header | {"plan_digest": digest.hexdigest()})


@contextmanager
def writing_rows(path: Path) -> Iterator[RowWriter]:
    """Write a plan in pieces; it replaces an older file only when it is finished.

    Only its owner can read it: it is personal data.

    Raises:
        OutputError: the file cannot be written; an older file stays as it was.
    """
    with replacing(path) as file:
        writer = RowWriter(file)
        with writer.parquet:
            yield writer


def read_plan(path: Path | str) -> Plan:
    """Return a plan from its file; its rows are read when they are needed.

    Args:
        path: the file that `toolkit.plan` wrote.

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
        plan = Plan.from_dict(header(metadata[b"plan"]), Path(path))
        made = scripts_of(plan.way, plan.policy)
    except (AttributeError, KeyError, TypeError, ValueError, PictureAuditError) as error:
        raise UnreadableInputError(
            f"{path} is not a plan, or is damaged: make a new one with picture-audit plan."
        ) from error
    code, rules = made
    # Another version's Action opens, so that it can be verified and undone; apply refuses it.
    is_ours = plan.code == code or recognised(plan.code) == plan.policy
    if not is_ours or plan.rules != rules:
        # Its code is shown to people, who may copy it.
        raise UnreadableInputError(
            f"{path} holds other code than its policy makes, or is of another version of "
            "picture-audit: make a new plan."
        )
    return plan


def scripts_of(way: Way, policy: Policy) -> tuple[str | None, tuple[str, ...]]:
    """Return the Action's code and the Rules that a plan's policy makes."""
    code = action_code(policy) if way is Way.ACTION else None
    return code, (override_rule(), default_rule(policy)) if way is Way.RULE else ()


def _rows(plan: Plan) -> Iterator[pa.Table]:
    """Yield a plan's rows in pieces, so that memory holds one piece at a time."""
    if plan.path is None:
        raise UnreadableInputError(
            "The plan was only counted: make it again with a file to keep it."
        )
    try:
        with pq.ParquetFile(plan.path) as file:
            for batch in file.iter_batches(_BATCH):
                # Otherwise invalid UTF-8 would raise an error later.
                batch.validate(full=True)
                yield pa.Table.from_batches([batch])
    except ARROW_DAMAGE as error:
        raise UnreadableInputError(f"{plan.path} is gone or damaged: make a new plan.") from error


def checking(plan: Plan) -> Generator[Progress, None, None]:
    """Check that a plan's whole file is unchanged; yields progress in users.

    Raises:
        UnreadableInputError: it was edited or is damaged.
        SettingsError: it holds another plan.
    """
    if plan.path is None:
        return  # only counted: it cannot be applied
    try:
        metadata = pq.read_schema(plan.path).metadata or {}
        told = metadata.get(b"plan_digest", b"").decode("ascii", "replace")
        found = _digest(plan.path, metadata.get(b"plan", b""))
    except ARROW_DAMAGE as error:
        raise UnreadableInputError(f"{plan.path} is gone or damaged: make a new plan.") from error
    if told != found:
        raise _edited(plan)
    if read_plan(plan.path) != plan:
        raise SettingsError(
            f"The plan is not the one that {plan.path} holds: read it again, or make a new plan."
        )
    decided = 0
    for decided, _ in enumerate(edits(plan), 1):
        if decided % _BATCH == 0:
            yield Progress(decided, plan.changes, note="checking the plan")
    if plan.way in _FIELDS and decided != plan.changes:
        raise _edited(plan)


def _digest(path: Path, header: bytes) -> str:
    """Return the SHA-256 of the bytes of a plan's rows, and its header."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        end = file.seek(-_TAIL, os.SEEK_END)
        length = file.read(4)
        left = end - int.from_bytes(length, "little")
        file.seek(0)
        while left > 0 and (block := file.read(min(_BLOCK, left))):
            digest.update(block)
            left -= len(block)
    digest.update(header)
    return digest.hexdigest()


def _edited(plan: Plan) -> UnreadableInputError:
    return UnreadableInputError(
        f"{plan.path} was edited: it is not what was planned. Make a new plan."
    )


def edits(plan: Plan) -> Iterator[Edit]:
    """Yield the changes of users in a plan, in its order; none for an Action or a Rule."""
    if plan.way not in _FIELDS:
        return
    field, number = _FIELDS[plan.way], 0
    for piece in _rows(plan):
        for row in piece.filter(pc.field("outcome") == CHANGE).to_pylist():
            if number >= plan.changes or row["after"] != _decided(plan, row):
                raise _edited(plan)
            watched = ["connection", Field.ROOT.value, Field.METADATA.value]
            watched += ["elsewhere"] * (Step.ELSEWHERE in plan.policy.order)
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
    """Decide about a user again, as the plan did."""
    how: dict[str, Any] = {
        "connection": row["connection"],
        "policy": plan.policy,
        "now": plan.made_at,
    }
    for name in ("underlying", "elsewhere"):  # plans made before lack them
        how[name] = row.get(name)
    if plan.way is Way.ROOT:
        return replaced_root(row["picture"], **how).after
    return replaced_metadata(row["picture"], metadata_picture=row["metadata_picture"], **how).after
