"""Make a copy of a snapshot without names, to share; its facts about pictures stay the same.

Everything that names a person is replaced by a keyed hash (HMAC-SHA256), the same one in every
snapshot that is redacted with the same key. Only with the key can somebody test guesses: keep it
with the original data.

| column | what it becomes |
|---|---|
| `user_id` | `auth0|…`: the strategy is kept, the rest hashed |
| `email` | a hash that is no address; a Gravatar that belonged to it still does |
| `name` | null |
| `logins_count` | 0 or 1 (whether they ever logged in) where `last_login` is null; else null |
| `created_at`, `updated_at` | the day (UTC): an exact moment finds its user again |
| `last_login`, `expires_at` | a number of whole days before or after the snapshot was taken |
| `picture`, `metadata_picture` | a hash of the whole address, see `_Hashes` |
| `gravatar_hash` | the hash of the replaced e-mail address |
| `connection`, `strategy`, `provider` | kept, unless it is no name that Auth0 gives |
| the others, so the verdict on the picture | kept |

The rows are sorted by their replacements, because the tenant's order could identify people. Notes
of the collection, which may contain file names, are left out.

So the coverage and the findings are those of the original. Facts about the tenant are kept: its
domain, its connections, the names of its Actions and Rules. The copy is pseudonymous, not
anonymous: if only one person joined on a day, through a small connection, people who know that can
guess who it is.
"""

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import platformdirs
import pyarrow as pa
import pyarrow.compute as pc

from toolkit.analysis.duckdb_engine import engine
from toolkit.analysis.finding_checks import DRAWING
from toolkit.analysis.tenant_wiring import Wiring
from toolkit.classification.schema import SNAPSHOT
from toolkit.classification.sources import (
    ENTERPRISE_STRATEGIES,
    ON_WORD,
    SOCIAL_STRATEGIES,
    TOKEN_ONLY,
    Source,
    classify,
)
from toolkit.classification.times import EPOCH
from toolkit.errors import OutputError, SettingsError
from toolkit.progress import Progress
from toolkit.snapshots.snapshot import Snapshot, ensure_replaceable, read_snapshot, writing
from toolkit.snapshots.storage import ensure_writable, is_same
from toolkit.system import others_may, private_opener

_KEY_BYTES, _SHORTEST_KEY = 32, 16
_TOKEN = 32  # hex digits: 128 bits, so that no two of ten million are equal
_DAY = 86_400_000  # milliseconds
_MEMORY = "400MB"
_AT_ONCE = 100_000  # rows

_STRATEGIES = ENTERPRISE_STRATEGIES | SOCIAL_STRATEGIES | {"auth0", "email", "sms"}
# Fact: Auth0, "Create a connection": letters, digits and hyphens, at most 128.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,127}")
_INLINE = re.compile(r" *data:image/", re.IGNORECASE)
_WEB = re.compile(r" *(https?):", re.IGNORECASE)
# The addresses that findings look at (`toolkit.analysis.finding_checks`), and what they become: one
# that the same finding concerns. Initials are not hashed, because few people share rare letters.
_EXAMPLES = (
    "graph.microsoft.com/{}/photo/",
    "outlook.office.com/{}/photo",
    "www.googleapis.com/{}",
    "api.linkedin.com/{}",
    "files.slack.com/{}",
    "{}.sharepoint.com/_layouts/15/userphoto.aspx",
)
_LOOKED_AT = (
    (re.compile(r"^https?://cdn\.auth0\.com/avatars/"), "cdn.auth0.com/avatars/xx.png"),
    (
        re.compile(r"^https?://i[012]\.wp\.com/cdn\.auth0\.com/avatars/", re.IGNORECASE),
        "i0.wp.com/cdn.auth0.com/avatars/xx.png",
    ),
    (re.compile(DRAWING, re.IGNORECASE), "ui-avatars.com/{}"),
    *(
        (re.compile(pattern, re.IGNORECASE), example)
        for pattern, example in zip(TOKEN_ONLY, _EXAMPLES, strict=True)
    ),
)
# What overrides become that count as something else than a picture of their user's own
# (`toolkit.analysis.shown_picture`): an address that counts as the same.
_STOCK = "https://abs.twimg.com/sticky/default_profile_images/{}.png"
_GRAVATAR = "https://s.gravatar.com/avatar/{}"
_EXPIRED = "https://platform-lookaside.fbsbx.com/{}?ext=1"
_UPLOADED = "https://static-cdn.jtvnw.net/jtv_user_pictures/{}"
# As Gravatar and the finding `hash-mismatch` read an address.
_DIGESTS = """
    SELECT CASE WHEN trim(email) = '' THEN ''
        WHEN length(gravatar_hash) = 64 THEN sha256(lower(trim(email)))
        ELSE md5(lower(trim(email))) END AS digest
    FROM users"""


def key_path() -> Path:
    """Return the default path of the key."""
    return platformdirs.user_data_path("picture-audit") / "redaction.key"


def own_key(path: Path | str | None = None) -> bytes:
    """Read the key from a file (by default `key_path()`); make one if there is none.

    Raises:
        SettingsError: the file is no key, or others can read it.
        OutputError: it cannot be made.
    """
    place = Path(path) if path else key_path()
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError), open(place, "xb", opener=private_opener) as file:
            file.write(f"{secrets.token_hex(_KEY_BYTES)}\n".encode())
    except OSError as error:
        raise OutputError(
            f"Cannot write the key {place}: {error.strerror or error}. Choose another place with "
            "--key-file."
        ) from error
    try:
        with place.open(encoding="ascii") as file:
            shared = others_may(os.fstat(file.fileno()), 0o077)
            key = bytes.fromhex(file.read())
    except (OSError, ValueError):
        key, shared = b"", False
    if len(key) < _KEY_BYTES:
        raise SettingsError(
            f"{place} is no key of picture-audit: name another file, and one is made there."
        )
    if shared:
        raise SettingsError(f"Others can read the key {place}: chmod 600 it.")
    return key


def key_name(key: bytes) -> str:
    """Return the name of a key, which shows nothing else about it."""
    return hmac.digest(key, b"name", "sha256").hex()[:8]


def redact(
    snapshot: Snapshot,
    out: Path | str | None = None,
    *,
    key: bytes | None = None,
    force: bool = False,
    show: Callable[[Progress], None] | None = None,
) -> Snapshot:
    """Return a copy of a snapshot to share; this module's docstring lists every column.

    It is marked as redacted: no plan, refresh or probe accepts it.

    Args:
        snapshot: the original; a file is read and written in pieces.
        out: where to write the copy; None keeps it in memory.
        key: the key of the hashes, 16 bytes or more; by default that of `own_key()`.
        force: whether the copy may replace another tenant's snapshot.
        show: called with each `Progress`, in users.

    Raises:
        SettingsError: it is redacted already, or the key is too short.
        OutputError: the copy cannot be written there, or another tenant's snapshot is there.
        UnreadableInputError: the snapshot is damaged.
    """
    snapshot.provenance.require_people()
    key = own_key() if key is None else key
    if len(key) < _SHORTEST_KEY:
        raise SettingsError(f"A key has {_SHORTEST_KEY} bytes or more, chosen at random.")
    if out is None:
        with TemporaryDirectory(prefix="picture-audit-") as folder:
            copy = redact(snapshot, Path(folder) / "copy.parquet", key=key, show=show)
            return Snapshot(copy.provenance, copy.users)
    place = Path(out)
    if snapshot.path is not None and is_same(place, snapshot.path):
        raise OutputError(f"{place} is the snapshot itself: name another file for the copy.")
    ensure_writable(place)
    told = replace(snapshot.provenance, redacted=key_name(key), notes=())
    hashes = _Hashes(key, told.taken_at)
    if told.wiring is not None:
        told = replace(told, wiring=hashes.wiring(told.wiring))
    ensure_replaceable(place, told.tenant, seed=told.seed, force=force)
    with TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent) as folder:
        draft = Path(folder) / "draft.parquet"
        with writing(draft) as writer:
            done = 0
            for table in _redacted(snapshot, hashes):
                writer.add(table)
                done += len(table)
                if show is not None:
                    show(Progress(done, len(snapshot), note="redacting"))
            writer.finish(told)
        with writing(place, force=force) as writer:
            for table in _in_order(draft):
                writer.add(table)
            writer.finish(told)
    return read_snapshot(place)


@dataclass(frozen=True, slots=True)
class _Hashes:
    """Replacements by one key, of a snapshot that was taken at some time."""

    key: bytes
    taken_at: datetime = EPOCH

    def token(self, kind: str, value: str) -> str:
        """Return the replacement of a value; it depends on the kind of value, too."""
        message = f"{kind}\0{value}".encode()
        return hmac.digest(self.key, message, "sha256").hex()[:_TOKEN]

    def gravatar(self, digest: str) -> str:
        """Return the hash of an address's replacement, from the hash of the address."""
        address = self.address(digest).encode()
        made = hashlib.new("sha256" if len(digest) == 64 else "md5", address, usedforsecurity=False)  # noqa: PLR2004 - hex digits
        return made.hexdigest()

    def address(self, digest: str) -> str:
        """Return the replacement of the e-mail address with this hash; "" for none."""
        return self.token("address", digest) if digest else ""

    def user_id(self, user_id: str) -> str:
        if not user_id:
            return ""
        strategy, bar, _ = user_id.partition("|")
        kept = f"{strategy}|" if bar and strategy in _STRATEGIES else ""
        return f"{kept}{self.token('user', user_id)}"

    def strategy(self, strategy: str) -> str:
        return strategy if strategy in _STRATEGIES else self.token("name", strategy)

    def name(self, name: str) -> str:
        return name if _NAME.fullmatch(name) else self.token("name", name)

    def picture(self, address: str) -> str:
        """Return the replacement of a `picture` or a `user_metadata.picture`.

        It is a hash of the whole address; of a web address the scheme is kept, and the kind of
        host that findings look at. A picture that many people share stays shared.
        """
        if not address.strip(" "):
            return ""
        token = self.token("picture", address)
        web = _WEB.match(address)
        if web is None:
            return f"data:image/{token}" if _INLINE.match(address) else token
        examples = (example for pattern, example in _LOOKED_AT if pattern.search(address))
        return f"{web[1].lower()}://{next(examples, 'picture.invalid/{}').format(token)}"

    def override(self, address: str) -> str:
        """Return the replacement of an address that is judged alone, which counts as the same.

        That is a `user_metadata.picture`, and what a social provider's users uploaded.
        """
        verdict, token = classify(address), self.token("picture", address)
        if verdict.source is Source.UNRESOLVED:
            return _GRAVATAR.format(token)
        if verdict.source is Source.PLACEHOLDER:
            return _STOCK.format(token)
        if verdict.expires_at is not None and verdict.expires_at < self.taken_at:
            return _EXPIRED.format(token)
        if verdict.source is Source.SOCIAL and verdict.provider not in ON_WORD:
            return _UPLOADED.format(token)
        return self.picture(address)

    def wiring(self, wiring: Wiring) -> Wiring:
        """Replace the default pictures of this tool's Action as those of users are."""
        setters = (
            one
            if one.policy is None
            else replace(
                one,
                policy=replace(
                    one.policy,
                    picture=self.picture(one.policy.picture),
                    former=tuple(map(self.picture, one.policy.former)),
                    connections=one.policy.connections
                    and tuple(map(self.name, one.policy.connections)),
                ),
            )
            for one in wiring.setters
        )
        return replace(wiring, setters=tuple(setters))


def _in_order(draft: Path) -> Iterator[pa.Table]:
    """Yield the users of a file, sorted by id, picture and address."""
    with engine(_MEMORY) as database:
        database.execute("SET TimeZone = 'UTC'; SET threads = 2")
        users = database.sql(
            "FROM read_parquet($draft) ORDER BY user_id, picture, email",
            params={"draft": str(draft)},
        )
        for batch in users.to_arrow_reader(_AT_ONCE):
            yield pa.Table.from_batches([batch]).select(SNAPSHOT.names).cast(SNAPSHOT)


def _redacted(snapshot: Snapshot, hashes: _Hashes) -> Iterator[pa.Table]:
    # Rounded up, so that a login at the same moment is 0 days old; addresses expire at a second.
    taken_at = -((EPOCH - snapshot.provenance.taken_at) // timedelta(milliseconds=1))
    second = taken_at // 1000 * 1000
    changes: dict[str, Callable[[str], str]] = {
        "user_id": hashes.user_id,
        "connection": hashes.name,
        "strategy": hashes.strategy,
        "provider": hashes.name,
        "picture": hashes.picture,
        "metadata_picture": hashes.override,
        "elsewhere": hashes.picture,
        "gravatar_hash": hashes.gravatar,
    }
    with engine(_MEMORY) as database:
        for chunk in snapshot.chunks():
            users = pa.Table.from_pandas(chunk[SNAPSHOT.names], SNAPSHOT, preserve_index=False)
            database.register("users", users)
            columns = dict(zip(SNAPSHOT.names, users.columns, strict=True))
            uploaded = pc.and_(
                pc.equal(columns["underlying"], Source.SOCIAL),
                pc.invert(pc.is_in(columns["provider"], pa.array(sorted(ON_WORD)))),
            )
            alone = _mapped(pc.if_else(uploaded, columns["picture"], None), hashes.override)
            columns |= {name: _mapped(columns[name], to) for name, to in changes.items()}
            columns["picture"] = pc.coalesce(alone, columns["picture"])
            digests = database.sql(_DIGESTS).to_arrow_table()["digest"]
            columns["email"] = _mapped(digests, hashes.address)
            for name, since in (("created_at", 0), ("updated_at", 0), ("last_login", taken_at)):
                columns[name] = _whole_days(columns[name], since, "down")
            # Away from the snapshot's time, so that an expired address stays expired.
            columns["expires_at"] = _whole_days(columns["expires_at"], second, "towards_infinity")
            columns["name"] = pa.nulls(len(users), pa.string())
            few = pc.min_element_wise(columns["logins_count"], 1, skip_nulls=False)
            columns["logins_count"] = pc.if_else(pc.is_null(columns["last_login"]), few, None)
            yield pa.table(columns, schema=SNAPSHOT)
            database.unregister("users")


def _mapped(column: pa.ChunkedArray, to: Callable[[str], str]) -> pa.ChunkedArray:
    """Replace texts, computing each different one once; nulls stay."""
    pieces = [
        pa.array(map(to, piece.dictionary.to_pylist()), pa.string()).take(piece.indices)
        for piece in column.dictionary_encode().chunks
    ]
    return pa.chunked_array(pieces, pa.string())


def _whole_days(
    column: pa.ChunkedArray, since: int, rounded: Literal["down", "towards_infinity"]
) -> pa.ChunkedArray:
    """Round times to whole days before or after a moment, in UNIX milliseconds."""
    apart = pc.subtract(column.cast(pa.int64()), since).cast(pa.float64())
    days = pc.round(pc.divide(apart, _DAY), round_mode=rounded).cast(pa.int64())
    return pc.add(pc.multiply(days, _DAY), since).cast(column.type)
