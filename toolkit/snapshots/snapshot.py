"""A tenant's users at one moment, as a file: Parquet, one row per user."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from toolkit.analysis.duckdb_engine import ARROW_DAMAGE
from toolkit.analysis.file_header import header
from toolkit.classification.schema import ENCODED, FEW, SNAPSHOT
from toolkit.classification.sources import Source
from toolkit.errors import OutputError, UnreadableInputError
from toolkit.formatting import shorten
from toolkit.snapshots.provenance import Provenance
from toolkit.snapshots.storage import replacing

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.analysis.coverage_count import Coverage
    from toolkit.analysis.finding_counts import Findings

__all__ = [
    "SCHEMA_VERSION",
    "Provenance",
    "Snapshot",
    "Writer",
    "ensure_replaceable",
    "read_snapshot",
    "writing",
]

SCHEMA_VERSION = 1
_LONGEST_NAME = 80
# Rows to read at a time.
_CHUNK = 131_072
# Dictionary-encoded: columns with few distinct values. For the others, dictionaries would make
# files larger and writing slower.
_REPEATED = ["connection", "strategy", *FEW]
# Row-group statistics help only for `connection`, because exports of one connection each follow one
# another.
_ORDERED = ["connection"]
# Delta-encoded: neighbouring values differ little, so this is smaller and faster than compression.
_NUMBERS = ["created_at", "updated_at", "last_login", "expires_at", "logins_count"]


class Snapshot:
    """The users of a tenant, classified, and where they come from.

    A snapshot that was read from a file loads its users only when they are needed; counting reads
    the file in pieces.

    Args:
        provenance: tenant, time, method and completeness.
        users: one row per user with the columns of `toolkit.classification.schema.SNAPSHOT`.
        path: the file to read the users from instead.
    """

    def __init__(
        self,
        provenance: Provenance,
        users: "pd.DataFrame | None" = None,
        *,
        path: Path | None = None,
    ) -> None:
        self.provenance = provenance
        self.path = path
        self._users = users

    @property
    def users(self) -> "pd.DataFrame":
        """One row per user with the columns of `toolkit.classification.schema.SNAPSHOT`."""
        if self._users is None:
            import pandas as pd  # noqa: PLC0415 - slow to import; writing needs none

            self._users = pd.concat(self.chunks(), ignore_index=True)
        return self._users

    def __len__(self) -> int:
        return self.provenance.users

    def chunks(
        self, columns: Sequence[str] | None = None, *, groups: Sequence[int] | None = None
    ) -> "Iterator[pd.DataFrame]":
        """Yield the users in pieces, so that memory holds one piece at a time.

        Args:
            columns: which columns, or None for all.
            groups: which row groups of the file, or None for all.

        Raises:
            UnreadableInputError: the file is gone or damaged.
        """
        names = list(columns or SNAPSHOT.names)
        if self._users is not None or self.path is None:
            yield self.users[names]
            return
        try:
            # With read-ahead, memory would hold the whole file.
            with pq.ParquetFile(self.path, pre_buffer=False) as file:
                yield _empty(names)
                for batch in file.iter_batches(_CHUNK, row_groups=groups, columns=names):
                    # Otherwise invalid UTF-8 would raise an error later.
                    batch.validate(full=True)
                    yield batch.to_pandas(types_mapper=_types)
        except ARROW_DAMAGE as error:
            raise UnreadableInputError(f"{self.path} is gone or damaged: collect again.") from error

    def coverage(self, by: str = "source") -> "Coverage":
        """Count the users by source, connection, provider, cohort or activity.

        Raises:
            SettingsError: `by` is none of these.
            UnreadableInputError: the file is damaged.
        """
        from toolkit.analysis.coverage_count import coverage  # noqa: PLC0415 - it loads pandas

        counted = coverage(
            self._stored(), by, as_of=self.provenance.taken_at, overrides=self.overrides
        )
        return replace(counted, estimate=self.provenance.estimate)

    @property
    def overrides(self) -> bool | None:
        """Whether the tenant shows `user_metadata.picture`; None if not known."""
        return self.provenance.wiring.override if self.provenance.wiring else None

    def findings(self) -> "Findings":
        """Return what is wrong with the pictures, for how many users, and what to do."""
        from toolkit.analysis.finding_counts import findings  # noqa: PLC0415 - it loads pandas

        return findings(
            self._stored(), as_of=self.provenance.taken_at, wiring=self.provenance.wiring
        )

    def _stored(self) -> "pd.DataFrame | Path":
        """Return the users in memory, or else the path of the file."""
        return self.path if self._users is None and self.path is not None else self.users

    def summary(self, by: str = "source") -> dict[str, Any]:
        """Return the coverage as plain values, as in `coverage.json`.

        Returns:
            `tenant`, `taken_at`, `users`, `complete` and the rest of the provenance,
            `sources` with users and share (0 to 1) of every source, `own` with the users who
            see a picture of their own (`low`, `high`, `middle`), `seen` with what people
            see, and where `by` is something else, `groups` by that. Where a sample was asked
            for, `estimated` has the sources as the sample divides the unresolved.
        """
        grouped = self.coverage(by)
        whole = grouped.whole
        groups = {} if by == "source" else {"by": by, "groups": grouped.as_dict()}
        nobody = {source.value: {"users": 0, "share": 0.0} for source in Source}
        counted = {
            "users": len(self),
            "sources": nobody | whole.as_dict(),
            "own": asdict(whole.own),
            "seen": {str(name): users for name, users in whole.seen.items()},
        }
        estimated = {str(name): asdict(users) for name, users in whole.estimated.items()}
        return self.provenance.as_dict() | counted | {"estimated": estimated or None} | groups

    def write(self, path: Path | str, *, force: bool = False) -> None:
        """Write the snapshot atomically. Only its owner can read it: it is personal data.

        Args:
            path: the file.
            force: whether it may replace another tenant's snapshot.

        Raises:
            OutputError: the file cannot be written, or is another tenant's snapshot; an older file
                stays as it was.
        """
        with writing(Path(path), force=force) as writer:
            for chunk in self.chunks():
                writer.add(chunk)
            writer.finish(self.provenance)

    def __repr__(self) -> str:
        state = "complete" if self.provenance.complete else "NOT complete"
        tenant = shorten(self.provenance.tenant, _LONGEST_NAME)
        return f"<Snapshot of {tenant}: {len(self):,} users, {state}>"


class Writer:
    """Writes a snapshot in pieces. Made by `writing`."""

    def __init__(self, file: IO[bytes], path: Path, *, force: bool = False) -> None:
        self._path, self._force = path, force
        # With Arrow's own schema stored, readers would look for the provenance there,
        # and it is not known before the end.
        self._parquet = pq.ParquetWriter(
            file,
            ENCODED,
            compression={name: "none" if name in _NUMBERS else "zstd" for name in SNAPSHOT.names},
            column_encoding=dict.fromkeys(_NUMBERS, "DELTA_BINARY_PACKED")
            | {"gravatar_hash": "DELTA_LENGTH_BYTE_ARRAY"},  # all of the same length
            use_dictionary=_REPEATED,
            write_statistics=_ORDERED,
            store_schema=False,
        )

    def add(self, users: "pd.DataFrame | pa.Table") -> None:
        """Append classified users: the columns of `SNAPSHOT`, in any order."""
        if not isinstance(users, pa.Table):
            users = pa.Table.from_pandas(users[SNAPSHOT.names], SNAPSHOT, preserve_index=False)
        if len(users):
            self._parquet.write_table(users.select(ENCODED.names).cast(ENCODED))

    def finish(self, provenance: Provenance) -> None:
        """Set the provenance; call it once, at the end.

        Raises:
            OutputError: the file that this one would replace is another tenant's snapshot.
        """
        ensure_replaceable(self._path, provenance.tenant, seed=provenance.seed, force=self._force)
        self._parquet.add_key_value_metadata(
            {
                "schema_version": str(SCHEMA_VERSION),
                "provenance": json.dumps(provenance.as_dict()),
            }
        )

    def close(self) -> None:
        """End the file."""
        self._parquet.close()


@contextmanager
def writing(path: Path, *, force: bool = False) -> Iterator[Writer]:
    """Write a snapshot in pieces; an older file is replaced only when it is finished.

    Args:
        path: the file.
        force: whether it may replace another tenant's snapshot.

    Raises:
        OutputError: the file cannot be written, or is another tenant's snapshot; an older file
            stays as it was.
    """
    with replacing(path) as file, closing(Writer(file, path, force=force)) as writer:
        yield writer


def ensure_replaceable(
    path: Path, tenant: str, *, seed: int | None = None, force: bool = False
) -> None:
    """Check that a snapshot would not replace another tenant's.

    Every finished snapshot is checked; long work also checks before it begins.

    Args:
        path: the file.
        tenant: the tenant of the new snapshot.
        seed: the seed of its made-up people, for the embedded tenant. Made-up people may replace
            made-up people, because the embedded tenant has another port each time.
        force: whether another tenant's snapshot may be replaced.

    Raises:
        OutputError: the file is another tenant's snapshot, and `force` is not set.
    """
    held = None if force else _held(path)
    if held is None or held["tenant"].casefold() == tenant.casefold():
        return
    if seed is None or held.get("seed") is None:
        raise OutputError(
            f"{path} is a snapshot of another tenant, {held['tenant']}: name another file, or add "
            "--force (in Python: force=True) to replace it."
        )


def _held(path: Path) -> dict[str, Any] | None:
    """Return tenant and seed of the snapshot in a file, of any version; None if there is none."""
    try:
        metadata = pq.read_schema(path).metadata or {}
        values = json.loads(metadata[b"provenance"])
        return values if isinstance(values["tenant"], str) else None
    except (*ARROW_DAMAGE, KeyError, TypeError, ValueError):
        return None  # it is no snapshot, so none can be lost


def read_snapshot(path: Path | str) -> Snapshot:
    """Read a snapshot file.

    Args:
        path: the file.

    Returns:
        The snapshot; its users are read when they are needed.

    Raises:
        UnreadableInputError: it does not exist, is no snapshot, or is of a later version.
    """
    try:
        with pq.ParquetFile(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
    except ARROW_DAMAGE as error:
        missing = isinstance(error, FileNotFoundError)
        what = "does not exist" if missing else "is not a Parquet file that can be read"
        raise UnreadableInputError(f"{path} {what}.") from error
    metadata = schema.metadata or {}
    version = metadata.get(b"schema_version", b"").decode("ascii", "replace")
    if version.isdigit() and int(version) > SCHEMA_VERSION:
        raise UnreadableInputError(
            f"{path} was written by a later version (schema {version}): update picture-audit."
        )
    try:
        provenance = Provenance.from_dict(header(metadata[b"provenance"]))
        whole = all(schema.field(one.name).type == one.type for one in SNAPSHOT)
        whole = whole and provenance.users == rows
    except (KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise UnreadableInputError(
            f"{path} is a Parquet file, but not a snapshot of picture-audit."
        )
    return Snapshot(provenance, path=Path(path))


def _empty(names: list[str]) -> "pd.DataFrame":
    frame: pd.DataFrame = SNAPSHOT.empty_table().select(names).to_pandas(types_mapper=_types)
    return frame


def _types(kind: pa.DataType) -> "pd.Int64Dtype | None":
    import pandas as pd  # noqa: PLC0415 - as above

    return pd.Int64Dtype() if kind == pa.int64() else None
