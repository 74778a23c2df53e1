"""A tenant's users at one moment, as a file: Parquet, one row per user."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import MISSING, asdict, dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from toolkit.analysis.duckdb_engine import ARROW_DAMAGE
from toolkit.analysis.estimate import Estimate, OwnEstimate
from toolkit.analysis.file_header import as_json, header, read
from toolkit.analysis.tenant_wiring import Wiring
from toolkit.classification.schema import ADDED, ENCODED, FEW, SNAPSHOT, completed, held, to_frame
from toolkit.classification.sources import Source
from toolkit.errors import OutputError, SettingsError, UnreadableInputError
from toolkit.formatting import shorten
from toolkit.images.address import is_loopback, split
from toolkit.snapshots.storage import replacing

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.analysis.coverage_count import Coverage
    from toolkit.analysis.finding_counts import Findings

SCHEMA_VERSION = 1
WITHOUT_ELSEWHERE = "a snapshot without the columns elsewhere and elsewhere_from"
"""In the notes of a snapshot that lacks them, and of those made from it."""
_LONGEST_NAME = 80
_CHUNK = 131_072  # rows read at a time
# Dictionary-encoded: columns with few distinct values. For the others, dictionaries would make
# files larger and writing slower.
_REPEATED = ["connection", "strategy", *FEW]
# Delta-encoded: neighbouring values differ little, so this is smaller and faster than compression.
_NUMBERS = ["created_at", "updated_at", "last_login", "expires_at", "logins_count"]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a snapshot comes from, and whether it is whole.

    Attributes:
        tenant: the tenant's domain.
        taken_at: when the collection began (UTC), by the tenant's clock if that is known.
        method: how the users were read (`search`, …).
        complete: true only if reconciled with the tenant's counts, or if export files were whole.
        users: how many users the snapshot holds.
        windows: into how many windows the reading was divided.
        requests: number of requests, with retries, without those for tokens.
        seconds: how long it took.
        sandbox: whether the tenant is the embedded one.
        toolkit_version: the version that wrote it.
        notes: other facts: what is missing, what changed and when.
        wiring: what sets the picture that applications see; None if it was not read.
        probed_at: when Gravatar was last asked about these users (UTC), or None.
        estimate: the result of a sample of the unresolved users, or None.
        seed: the seed of the embedded tenant's made-up people, or None for real users.
        redacted: the name of the key that replaced the users' identifiers, or None.
        own_sample: what a sample of all pictures that may be people's own says, or None.
        absent: columns that no export file had, so that null does not mean "none" there.
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
    redacted: str | None = None
    own_sample: OwnEstimate | None = None
    absent: tuple[str, ...] = ()

    @property
    def overrides(self) -> bool | None:
        """Whether the tenant shows `user_metadata.picture`; None if not known."""
        return self.wiring.override if self.wiring else None

    def require_people(self) -> None:
        """Raise SettingsError if it is redacted, so that nobody can be found at the tenant."""
        if self.redacted is not None:
            raise SettingsError(
                "The snapshot is redacted: nobody in it can be found again. Take the one that it "
                "was made from."
            )

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values; times as ISO 8601."""
        return as_json(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `as_dict` of this version or a former one wrote.

        Raises:
            KeyError, TypeError, ValueError: a value is missing or of another type.
        """
        absent = {one.name: one.default for one in fields(cls) if one.default is not MISSING}
        known = {**absent, **values}
        provenance = read(
            cls,
            known,
            wiring=lambda one: None if one is None else Wiring.from_dict(one),
            own_sample=lambda one: None if one is None else OwnEstimate.from_dict(one),
        )
        place = split(provenance.tenant)
        if provenance.sandbox and not (place and is_loopback(place[0])):
            raise ValueError("a sandbox that is not on this machine")
        return provenance


class Snapshot:
    """The users of a tenant, classified, and where they come from.

    Args:
        provenance: tenant, time, method and completeness.
        users: one row per user with the columns of `toolkit.classification.schema.SNAPSHOT`.
        path: the file to read the users from when they are needed.
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
        """Yield the users in pieces: some columns or all, some row groups of the file or all.

        Raises:
            UnreadableInputError: the file is gone or damaged.
        """
        names = list(columns or SNAPSHOT.names)
        if self._users is not None or self.path is None:
            known = self.users
            lacking = {name: None for name in ADDED.names if name not in known.columns}
            yield known.assign(**lacking)[names]
            return
        try:
            # With read-ahead, memory would hold the whole file.
            with pq.ParquetFile(self.path, pre_buffer=False) as file:
                yield to_frame(_columns(names).empty_table())
                there = [name for name in held(file.schema_arrow.names) if name in names]
                for batch in file.iter_batches(_CHUNK, row_groups=groups, columns=there):
                    # Otherwise invalid UTF-8 would raise an error later.
                    batch.validate(full=True)
                    users = pa.Table.from_batches([batch])
                    yield to_frame(completed(users, _columns(names)))
        except ARROW_DAMAGE as error:
            raise UnreadableInputError(f"{self.path} is gone or damaged: collect again.") from error

    def coverage(self, by: str = "source") -> "Coverage":
        """Count the users by source, connection, provider, cohort or activity.

        Raises:
            SettingsError: `by` is none of these.
            UnreadableInputError: the file is damaged.
        """
        from toolkit.analysis.coverage_count import coverage  # noqa: PLC0415 - it loads pandas

        facts = self.provenance
        counted = coverage(
            self._stored(), by, as_of=facts.taken_at, wiring=facts.wiring, absent=facts.absent
        )
        return replace(
            counted, estimate=facts.estimate, looked=facts.own_sample, made_up=facts.sandbox
        )

    @property
    def overrides(self) -> bool | None:
        """Whether the tenant shows `user_metadata.picture`; None if not known."""
        return self.provenance.overrides

    def findings(self) -> "Findings":
        """Return what is wrong with the pictures, for how many users, and what to do."""
        from toolkit.analysis.finding_counts import findings  # noqa: PLC0415 - it loads pandas

        facts = self.provenance
        return findings(
            self._stored(), as_of=facts.taken_at, wiring=facts.wiring, absent=facts.absent
        )

    def users_of(self, finding: str) -> "pd.DataFrame":
        """Return the users whom the finding with this id concerns, and what they see (`seen`).

        Raises:
            SettingsError: no finding of this snapshot can have that id.
            UnreadableInputError: the file is damaged.
        """
        from toolkit.analysis.finding_counts import users_of  # noqa: PLC0415 - it loads pandas

        facts = self.provenance
        return users_of(self._stored(), finding, as_of=facts.taken_at, wiring=facts.wiring)

    def _stored(self) -> "pd.DataFrame | Path":
        """Return the users in memory, or else the path of the file."""
        return self.path if self._users is None and self.path is not None else self.users

    def summary(self, by: str = "source") -> dict[str, Any]:
        """Return the coverage as plain values, as in `coverage.json`.

        Returns:
            The provenance; `sources` with users and share (0 to 1) of every source; `own`, the
            users who see a picture of their own: `low` for certain, `high`, `middle`, and `on_word`
            of them perhaps (nobody has looked); `seen`, what people see; `estimated`, the sources
            as a sample divides the unresolved; `own_sample`, with the interval `own` of the sample
            that looked at pictures; and perhaps `groups`. `notes` end with what the files lacked.
        """
        grouped = self.coverage(by)
        groups = {} if by == "source" else {"by": by, "groups": grouped.as_dict()}
        values = self.provenance.as_dict() | {"users": len(self)} | totals(grouped.whole) | groups
        values["notes"] += (grouped.note,) if grouped.note else ()
        if (sample := self.provenance.own_sample) is not None:
            values["own_sample"] |= own_totals(sample)
        return values

    def write(self, path: Path | str, *, force: bool = False) -> None:
        """Write the snapshot as `writing` does."""
        with writing(Path(path), force=force) as writer:
            for chunk in self.chunks():
                writer.add(chunk)
            writer.finish(self.provenance)

    def __repr__(self) -> str:
        state = "complete" if self.provenance.complete else "NOT complete"
        tenant = shorten(self.provenance.tenant, _LONGEST_NAME)
        return f"<Snapshot of {tenant}: {len(self):,} users, {state}>"


def totals(whole: "Coverage") -> dict[str, Any]:
    """Return a coverage by source as plain values: `sources`, `own`, `seen` and `estimated`."""
    nobody = {source.value: {"users": 0, "share": 0.0} for source in Source}
    estimated = {str(name): asdict(users) for name, users in whole.estimated.items()}
    return {
        "sources": nobody | whole.as_dict(),
        "own": asdict(whole.own) | {"on_word": whole.on_word},
        "seen": {str(name): users for name, users in whole.seen.items()},
        "estimated": estimated or None,
    }


def own_totals(sample: OwnEstimate) -> dict[str, Any]:
    """Return a sample as plain values: the `users` covered, `asked`, `unclear`, interval `own`."""
    counts = {"users": sample.users, "asked": sample.asked, "unclear": sample.unclear}
    return counts | {"own": asdict(sample.own)}


class Writer:
    """Writes a snapshot in pieces; made by `writing`."""

    def __init__(self, file: IO[bytes], path: Path, *, force: bool = False) -> None:
        self._path, self._force = path, force
        # Readers would look for the provenance in Arrow's own schema, if it were stored, but the
        # provenance is not known before the end.
        self._parquet = pq.ParquetWriter(
            file,
            ENCODED,
            compression={name: "none" if name in _NUMBERS else "zstd" for name in SNAPSHOT.names},
            column_encoding=dict.fromkeys(_NUMBERS, "DELTA_BINARY_PACKED")
            | {"gravatar_hash": "DELTA_LENGTH_BYTE_ARRAY"},  # all of the same length
            use_dictionary=_REPEATED,
            # They help only where exports of one connection each follow one another.
            write_statistics=["connection"],
            store_schema=False,
        )
        self.close = self._parquet.close

    def add(self, users: "pd.DataFrame | pa.Table") -> None:
        """Append classified users: the columns of `SNAPSHOT`, in any order."""
        if not isinstance(users, pa.Table):
            names = held(users.columns)
            users = pa.Table.from_pandas(users[names], _columns(names), preserve_index=False)
        if len(users):
            self._parquet.write_table(completed(users, ENCODED).cast(ENCODED))

    def finish(self, provenance: Provenance) -> None:
        """Set the provenance, at the end. Raises what `ensure_replaceable` does."""
        ensure_replaceable(self._path, provenance.tenant, seed=provenance.seed, force=self._force)
        self._parquet.add_key_value_metadata(
            {
                "schema_version": str(SCHEMA_VERSION),
                "provenance": json.dumps(provenance.as_dict()),
            }
        )


def _columns(names: Sequence[str]) -> pa.Schema:
    return pa.schema([SNAPSHOT.field(name) for name in names])


@contextmanager
def writing(path: Path, *, force: bool = False) -> Iterator[Writer]:
    """Write a snapshot in pieces; an older file is replaced only when it is finished.

    Only its owner can read it: it is personal data. `force`: it may replace another tenant's.

    Raises:
        OutputError: it cannot be written, or is another tenant's; an older file stays as it was.
    """
    with replacing(path) as file, closing(Writer(file, path, force=force)) as writer:
        yield writer


def ensure_replaceable(
    path: Path, tenant: str, *, seed: int | None = None, force: bool = False
) -> None:
    """Raise OutputError if a snapshot would replace one of another tenant, and `force` is not set.

    Made-up people (with a seed) may replace others, because the embedded tenant has another port
    each time. Long work checks this before it begins, too.
    """
    try:
        held = json.loads((pq.read_schema(path).metadata or {})[b"provenance"])
        other = held["tenant"].casefold() != tenant.casefold()
        made_up = seed is not None and held.get("seed") is not None
    except (*ARROW_DAMAGE, AttributeError, KeyError, TypeError, ValueError):
        return  # it is no snapshot, so none can be lost
    if other and not (made_up or force):
        raise OutputError(
            f"{path} is a snapshot of another tenant, {held['tenant']}: name another file, or add "
            "--force (in Python: force=True) to replace it."
        )


def read_snapshot(path: Path | str) -> Snapshot:
    """Return the snapshot in a file; its users are read when they are needed.

    Args:
        path: the file.

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
        needed = held(schema.names)
        whole = all(schema.field(name).type == SNAPSHOT.field(name).type for name in needed)
        whole = whole and provenance.users == rows
    except (KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise UnreadableInputError(
            f"{path} is a Parquet file, but not a snapshot of picture-audit."
        )
    if "elsewhere" not in needed:
        # Copies have the column, with nothing in it: only a note can say why.
        note = f"this was {WITHOUT_ELSEWHERE}: collect again to fill it"
        provenance = replace(provenance, notes=(*provenance.notes, note))
    return Snapshot(provenance, path=Path(path))
