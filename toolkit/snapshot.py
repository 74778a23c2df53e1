"""A tenant's users at one moment, as a file: Parquet, one row per user."""

import json
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from glob import escape
from pathlib import Path
from types import NoneType
from typing import IO, Any, Self

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from toolkit.columns import SNAPSHOT
from toolkit.coverage import Coverage, coverage
from toolkit.errors import OutputError, UnreadableInputError
from toolkit.estimate import Estimate
from toolkit.findings import Findings, findings
from toolkit.picture import Source
from toolkit.wiring import Wiring

SCHEMA_VERSION = 1
# Rows that are read at a time.
_CHUNK = 131_072
# The columns that hold a few values over and over. Dictionaries and statistics of the others
# would make files larger and writing slower.
_REPEATED = ["connection", "strategy", "source", "underlying", "provider", "fallback", "evidence"]
# The column that each kind of coverage looks at.
_GROUPED = {
    "source": "source",
    "connection": "connection",
    "provider": "provider",
    "cohort": "created_at",
    "activity": "last_login",
}


_PARTS: dict[str, Callable[[Any], Any]] = {
    "wiring": Wiring.from_dict,
    "probed_at": datetime.fromisoformat,
    "estimate": Estimate.from_dict,
}
_KINDS: dict[str, tuple[type, ...]] = {
    "taken_at": (datetime,),
    "complete": (bool,),
    "users": (int,),
    "windows": (int,),
    "requests": (int,),
    "seconds": (int, float),
    "sandbox": (bool,),
    "notes": (tuple,),
    "wiring": (Wiring, NoneType),
    "probed_at": (datetime, NoneType),
    "estimate": (Estimate, NoneType),
    "seed": (int, NoneType),
}


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a snapshot comes from, and whether it is whole.

    Attributes:
        tenant: the tenant's domain.
        taken_at: when the collection began (UTC).
        method: how the users were read (`search`, …).
        complete: true only where what was read was reconciled with what the tenant counts,
            or, of export files, where they were whole.
        users: how many users the snapshot holds.
        windows: into how many windows the reading was divided.
        requests: how many requests that took, retries included, the token's not.
        seconds: how long it took.
        sandbox: whether the tenant is the embedded one.
        toolkit_version: the version that wrote it.
        notes: what else is worth knowing: what is missing, what changed since when.
        wiring: what sets the picture that applications see; None where nobody has read it.
        probed_at: when Gravatar was last asked about these users (UTC), or None.
        estimate: what a sample of the unresolved says of them, or None.
        seed: what the embedded tenant's people were made from, or None for real ones.
    """

    tenant: str
    taken_at: datetime
    method: str
    complete: bool
    users: int
    windows: int
    requests: int
    seconds: float
    sandbox: bool
    toolkit_version: str
    notes: tuple[str, ...] = ()
    wiring: Wiring | None = None
    probed_at: datetime | None = None
    estimate: Estimate | None = None
    seed: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values; times as ISO 8601."""
        return asdict(self) | {
            "taken_at": self.taken_at.isoformat(),
            "wiring": self.wiring.as_dict() if self.wiring else None,
            "probed_at": self.probed_at.isoformat() if self.probed_at else None,
            "estimate": self.estimate.as_dict() if self.estimate else None,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read what `as_dict` wrote; keys of later versions are ignored.

        Raises:
            KeyError, TypeError, ValueError: a value is missing or of another type.
        """
        given = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        given["taken_at"] = datetime.fromisoformat(values["taken_at"])
        given["notes"] = tuple(str(note) for note in values.get("notes", ()))
        for name, read in _PARTS.items():
            given[name] = None if values.get(name) is None else read(values[name])
        provenance = cls(**given)
        for field in fields(cls):
            kind = _KINDS.get(field.name, (str,))
            value = getattr(provenance, field.name)
            if not isinstance(value, kind) or (isinstance(value, bool) and bool not in kind):
                raise TypeError(f"{field.name} is of another type")
        return provenance


class Snapshot:
    """The users of a tenant, classified, and where they come from.

    A snapshot that was read from a file loads its users only when they are asked
    for; counting them reads the file piece by piece.

    Args:
        provenance: tenant, time, method and completeness.
        users: one row per user with the columns of `toolkit.columns.SNAPSHOT`.
        path: the file to read the users from instead.
    """

    def __init__(
        self,
        provenance: Provenance,
        users: pd.DataFrame | None = None,
        *,
        path: Path | None = None,
    ) -> None:
        self.provenance = provenance
        self.path = path
        self._users = users

    @property
    def users(self) -> pd.DataFrame:
        """One row per user with the columns of `toolkit.columns.SNAPSHOT`."""
        if self._users is None:
            self._users = pd.concat(self.chunks(), ignore_index=True)
        return self._users

    def __len__(self) -> int:
        return self.provenance.users

    def chunks(self, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
        """Yield the users piece by piece, so that memory holds one piece at a time.

        Args:
            columns: which columns, or None for all.
        """
        names = list(columns or SNAPSHOT.names)
        if self._users is not None or self.path is None:
            yield self.users[names]
            return
        try:
            with pq.ParquetFile(self.path) as file:
                yield _empty(names)
                for batch in file.iter_batches(_CHUNK, columns=names):
                    yield batch.to_pandas(types_mapper=_types)
        except (OSError, pa.ArrowException) as error:
            raise UnreadableInputError(f"{self.path} is damaged: collect again.") from error

    def coverage(self, by: str = "source") -> Coverage:
        """Count the users by source, connection, provider, cohort or activity."""
        columns = ["source", "underlying", "expires_at", _GROUPED[by]] if by in _GROUPED else None
        counted = Coverage.empty(by)
        for chunk in self.chunks(columns and list(dict.fromkeys(columns))):
            counted += coverage(chunk, by, as_of=self.provenance.taken_at, overrides=self.overrides)
        return replace(counted, estimate=self.provenance.estimate)

    @property
    def overrides(self) -> bool | None:
        """Whether `user_metadata.picture` reaches people; None where nobody has read it."""
        return self.provenance.wiring.override if self.provenance.wiring else None

    def findings(self) -> Findings:
        """Say what is wrong with the pictures, for how many users, and what to do."""
        return findings(
            self._users if self.path is None or self._users is not None else self.path,
            as_of=self.provenance.taken_at,
            wiring=self.provenance.wiring,
        )

    def summary(self, by: str = "source") -> dict[str, Any]:
        """Return the coverage as plain values: what `coverage.json` holds.

        Returns:
            `tenant`, `taken_at`, `users`, `complete` and the rest of the provenance,
            `sources` with users and share (0 to 1) of every source, `own` with the users who
            see a picture of their own (`low`, `high`, `middle`), `seen` with what people
            see, and where `by` is something else, `groups` by that. Where a sample was asked
            for, `estimated` has the sources as the sample divides the unresolved.
        """
        whole = self.coverage()
        groups = {} if by == "source" else {"by": by, "groups": self.coverage(by).as_dict()}
        nobody = {source.value: {"users": 0, "share": 0.0} for source in Source}
        counted = {
            "users": len(self),
            "sources": nobody | whole.as_dict(),
            "own": asdict(whole.own),
            "seen": {str(name): users for name, users in whole.seen.items()},
        }
        estimated = {str(name): asdict(users) for name, users in whole.estimated.items()}
        return self.provenance.as_dict() | counted | {"estimated": estimated or None} | groups

    def write(self, path: Path | str) -> None:
        """Write the snapshot atomically, readable by its owner only: it is personal data.

        Raises:
            OutputError: the file cannot be written there; what stood there before still does.
        """
        with writing(Path(path)) as writer:
            for chunk in self.chunks():
                writer.add(chunk)
            writer.finish(self.provenance)

    def __repr__(self) -> str:
        state = "complete" if self.provenance.complete else "NOT complete"
        return f"<Snapshot of {self.provenance.tenant}: {len(self):,} users, {state}>"


class Writer:
    """Writes a snapshot piece by piece. Made by `writing`."""

    def __init__(self, file: IO[bytes]) -> None:
        # With Arrow's own schema stored, readers would look for the provenance there,
        # and it is not known before the end.
        self._parquet = pq.ParquetWriter(
            file,
            SNAPSHOT,
            compression="zstd",
            use_dictionary=_REPEATED,
            write_statistics=_REPEATED,
            store_schema=False,
        )

    def add(self, users: pd.DataFrame | pa.Table) -> None:
        """Append classified users: the columns of `toolkit.columns.SNAPSHOT`, in any order."""
        if isinstance(users, pd.DataFrame):
            users = pa.Table.from_pandas(users[SNAPSHOT.names], SNAPSHOT, preserve_index=False)
        if len(users):
            self._parquet.write_table(users.select(SNAPSHOT.names))

    def finish(self, provenance: Provenance) -> None:
        """Note where the users come from; to be called once, at the end."""
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
def writing(path: Path) -> Iterator[Writer]:
    """Write a snapshot piece by piece; it takes its place only once it is finished.

    Raises:
        OutputError: the file cannot be written there; what stood there before still does.
    """
    with replacing(path) as file, closing(Writer(file)) as writer:
        yield writer


def read_snapshot(path: Path | str) -> Snapshot:
    """Read a snapshot file.

    Raises:
        UnreadableInputError: it does not exist, is no snapshot, or is of a later version.
    """
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
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
        provenance = Provenance.from_dict(json.loads(metadata[b"provenance"]))
        whole = set(SNAPSHOT.names) <= set(schema.names)
    except (KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise UnreadableInputError(
            f"{path} is a Parquet file, but not a snapshot of picture-audit."
        )
    return Snapshot(provenance, path=Path(path))


def _empty(names: list[str]) -> pd.DataFrame:
    frame: pd.DataFrame = SNAPSHOT.empty_table().select(names).to_pandas(types_mapper=_types)
    return frame


def _types(kind: pa.DataType) -> pd.Int64Dtype | None:
    return pd.Int64Dtype() if kind == pa.int64() else None


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes the place of `path` only once it is whole and on disk.

    The new file is readable by its owner only.

    Raises:
        OutputError: the folder cannot be made or written, or the disk is full.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(draft, "xb", opener=private_opener) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise OutputError(
            f"Cannot write {path}: {error.strerror or error}. Choose another place with --out."
        ) from error
    finally:
        _discard(draft)


def discard_drafts(path: Path) -> None:
    """Remove what processes that were killed left of their attempts to write `path`."""
    for draft in path.parent.glob(f".{escape(path.name)}.{'[0-9a-f]' * 8}"):
        _discard(draft)


def _discard(draft: Path) -> None:
    try:
        draft.unlink(missing_ok=True)
    except OSError as error:
        # Where the folder itself is out of reach there is no draft in it either.
        if draft.parent.is_dir():
            raise OutputError(f"Cannot remove {draft}: {error.strerror or error}.") from error


def private_opener(path: str, flags: int) -> int:
    """Open a file that only its owner may read; an `opener` for `open`."""
    return os.open(path, flags, 0o600)


def ensure_writable(path: Path) -> None:
    """Find out before long work whether its result can be written.

    Raises:
        OutputError: it cannot.
    """
    if path.is_dir():
        raise OutputError(f"Cannot write {path}: it is a folder. Name a file with --out.")
    probe = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with replacing(probe):
        pass
    probe.unlink()
