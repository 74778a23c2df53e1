"""Make a copy of a snapshot without names, to share; its facts about pictures stay the same.

Everything that names a person is replaced by a keyed hash (HMAC-SHA256). The same person, e-mail
address, picture or host gets the same replacement in every snapshot that is redacted with the same
key. Without the key nobody can test guesses, which is easy with a hash without a key. With the key
it is possible: keep it with the original data.

| column | what it becomes |
|---|---|
| `user_id` | `auth0|…`: the strategy is kept, the rest hashed |
| `email` | a hash that is no address; a Gravatar that belonged to it still does |
| `name`, `logins_count` | null |
| `created_at`, `updated_at` | the day (UTC): an exact moment finds its user again |
| `last_login` | so many whole days before the snapshot was taken |
| `picture`, `metadata_picture` | a URL of the same kind, see `Pictures` |
| `gravatar_hash` | the hash in that URL |
| `connection`, `strategy`, `provider` | kept, unless it is no name that Auth0 gives |
| `expires_at` | so many whole days before or after it, in the picture's URL, too |
| the others | kept |

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
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import parse_qsl, urlencode

import platformdirs
import pyarrow as pa
import pyarrow.compute as pc

from toolkit.analysis.duckdb_engine import engine
from toolkit.classification.schema import SNAPSHOT
from toolkit.classification.sources import (
    ENTERPRISE_STRATEGIES,
    RULES,
    SOCIAL_STRATEGIES,
    TOKEN_ONLY,
    Fallback,
    Rule,
    Source,
    Verdict,
    classify,
    usable_override,
)
from toolkit.classification.user_profile import EPOCH
from toolkit.errors import OutputError, SettingsError
from toolkit.progress import Progress
from toolkit.snapshots.snapshot import Snapshot, ensure_replaceable, read_snapshot, writing
from toolkit.snapshots.storage import ensure_writable, is_same, private_opener

KEY_BYTES: Final = 32
_SHORTEST_KEY = 16
_TOKEN = 32  # hex digits: 128 bits, so that no two of ten million are equal
_DAY = 86_400_000  # milliseconds
_DAY_SECONDS = _DAY // 1000
_LAST_EXPIRY = 2**33 - 1  # the latest time in `toolkit.classification.sources`, in seconds
_REMEMBERED = 65_536
_MEMORY = "400MB"
_AT_ONCE = 100_000  # rows

_STRATEGIES = ENTERPRISE_STRATEGIES | SOCIAL_STRATEGIES | {"auth0", "email", "sms"}
# Fact: Auth0, "Create a connection": letters, digits and hyphens, at most 128.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,127}")
# Addresses that all programs parse in the same way.
_ORDINARY = re.compile(
    r"(https?)://([a-z0-9.-]*[a-z0-9-])(?:(/[^?#\\\s]*)(?:\?([^#\s]*))?)?", re.ASCII
)
# Subdomains of the rules' hosts: names of servers, not of persons.
_MACHINE = re.compile(r"(?:s|www|secure|en|\d|lh\d|avatars\d?|profile|obs|cdn|scontent)\.")
_SUFFIX = re.compile(r"\.(?:png|jpe?g|gif|webp|avif|svg|bmp|ico)$", re.ASCII | re.IGNORECASE)
_SCHEME = re.compile(
    r"\s*((?:data|javascript|vbscript|ftp|file|blob|about|cid|content|ws):)", re.IGNORECASE
)
_BLANK = re.compile(r"[\x00-\x20]*")
_INITIALS = "xx.png"
_BY_REASON = {rule.why: rule for rule in reversed(RULES)}
# One for each of `toolkit.classification.sources.TOKEN_ONLY`.
_TOKEN_ONLY_STAND_INS = (
    "graph.microsoft.com/{}/photo/",
    "outlook.office.com/{}/photo",
    "www.googleapis.com/{}",
    "api.linkedin.com/{}",
    "files.slack.com/{}",
    "{}.sharepoint.com/_layouts/15/userphoto.aspx",
)
_NEEDING_TOKEN = tuple(
    (re.compile(pattern, re.IGNORECASE), stand_in)
    for pattern, stand_in in zip(TOKEN_ONLY, _TOKEN_ONLY_STAND_INS, strict=True)
)
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
    """Read the key from a file that only its owner can read; make one if there is none.

    Args:
        path: the file; by default `key_path()`.

    Raises:
        SettingsError: the file is no key, or others can read it.
        OutputError: it cannot be made.
    """
    place = Path(path) if path else key_path()
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(place, "x", opener=private_opener) as file:
            file.write(f"{secrets.token_hex(KEY_BYTES)}\n")
    except FileExistsError:
        pass  # it is read below
    except OSError as error:
        raise OutputError(
            f"Cannot write the key {place}: {error.strerror or error}. Choose another place with "
            "--key-file."
        ) from error
    try:
        with place.open(encoding="ascii") as file:
            shared = os.fstat(file.fileno()).st_mode & 0o077
            key = bytes.fromhex(file.read())
    except (OSError, ValueError):
        key, shared = b"", 0
    if len(key) < KEY_BYTES:
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
    """Make a copy of a snapshot to share; this module's docstring lists every column.

    Args:
        snapshot: the original; a file is read and written in pieces.
        out: where to write the copy; None keeps it in memory.
        key: the key of the hashes, 16 bytes or more; by default that of `own_key()`.
        force: whether the copy may replace another tenant's snapshot.
        show: called with each `Progress`, in users.

    Returns:
        The copy. Its provenance says that it is redacted. It is refused wherever users or pictures
        must be found again: no plan, no refresh, no probe.

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
    origin = snapshot.provenance
    ensure_replaceable(place, origin.tenant, seed=origin.seed, force=force)
    told = replace(origin, redacted=key_name(key), notes=())
    with TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent) as folder:
        draft = Path(folder) / "draft.parquet"
        with writing(draft) as writer:
            done = 0
            for table in _redacted(snapshot, _Hashes(key)):
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


class _Hashes:
    """Replacements by one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def token(self, kind: str, value: str) -> str:
        """Return the replacement of a value; it depends on the kind of value, too."""
        message = f"{kind}\0{value}".encode()
        return hmac.digest(self._key, message, "sha256").hex()[:_TOKEN]

    def gravatar(self, digest: str) -> str:
        """Return the hash of an address's replacement, from the hash of the address."""
        address = self.address(digest).encode()
        if len(digest) == hashlib.sha256().digest_size * 2:
            return hashlib.sha256(address).hexdigest()
        return hashlib.md5(address, usedforsecurity=False).hexdigest()

    def address(self, digest: str) -> str:
        """Return the replacement of the e-mail address with this hash; "" for none."""
        return self.token("address", digest) if digest else ""

    def user_id(self, user_id: str) -> str:
        """Return the replacement of a user_id; its strategy stays."""
        if not user_id:
            return ""
        strategy, bar, _ = user_id.partition("|")
        kept = f"{strategy}|" if bar and strategy in _STRATEGIES else ""
        return f"{kept}{self.token('user', user_id)}"

    def strategy(self, strategy: str) -> str:
        """Return a strategy that Auth0 knows, or a replacement."""
        return strategy if strategy in _STRATEGIES else self.token("name", strategy)

    def name(self, name: str) -> str:
        """Return a valid name of a connection, or a replacement."""
        return name if _NAME.fullmatch(name) else self.token("name", name)


def _in_order(draft: Path) -> Iterator[pa.Table]:
    """Yield the users of a file, sorted by id, picture and address; what is large goes to disk."""
    with engine(_MEMORY) as database:
        database.execute("SET TimeZone = 'UTC'; SET threads = 2")
        users = database.sql(
            "FROM read_parquet($draft) ORDER BY user_id, picture, email",
            params={"draft": str(draft)},
        )
        for batch in users.to_arrow_reader(_AT_ONCE):
            yield pa.Table.from_batches([batch]).select(SNAPSHOT.names).cast(SNAPSHOT)


def _redacted(snapshot: Snapshot, hashes: _Hashes) -> Iterator[pa.Table]:
    # Rounded up: a login at the same moment is 0 days old.
    taken_at = -((EPOCH - snapshot.provenance.taken_at) // timedelta(milliseconds=1))
    # Round away from the snapshot's time, so that an expired address stays expired.
    second = (snapshot.provenance.taken_at - EPOCH) // timedelta(seconds=1)

    def expiry(seconds: int) -> int:
        days = -(-abs(seconds - second) // _DAY_SECONDS)
        away = days if seconds > second else -days
        return min(max(second + away * _DAY_SECONDS, 1), _LAST_EXPIRY)

    pictures = Pictures(hashes.token, hashes.gravatar, expiry)
    changes: dict[str, Callable[[str], str]] = {
        "user_id": hashes.user_id,
        "connection": hashes.name,
        "strategy": hashes.strategy,
        "provider": hashes.name,
        "picture": pictures.stand_in,
        "metadata_picture": pictures.stand_in,
        "gravatar_hash": hashes.gravatar,
    }
    with engine(_MEMORY) as database:
        for chunk in snapshot.chunks():
            users = pa.Table.from_pandas(chunk[SNAPSHOT.names], SNAPSHOT, preserve_index=False)
            database.register("users", users)
            columns = {name: users[name] for name in SNAPSHOT.names}
            columns |= {name: _mapped(columns[name], to) for name, to in changes.items()}
            digests = database.sql(_DIGESTS).to_arrow_table()["digest"]
            columns["email"] = _mapped(digests, hashes.address)
            for name, since in (("created_at", 0), ("updated_at", 0), ("last_login", taken_at)):
                columns[name] = _whole_days(columns[name], since)
            columns["expires_at"] = _moved(columns["expires_at"], expiry)
            for name in ("name", "logins_count"):
                columns[name] = pa.nulls(len(users), SNAPSHOT.field(name).type)
            yield pa.table([columns[name] for name in SNAPSHOT.names], schema=SNAPSHOT)
            database.unregister("users")


def _mapped(column: pa.ChunkedArray, to: Callable[[str], str]) -> pa.ChunkedArray:
    """Replace texts, computing each different one once; nulls stay."""
    pieces = [
        pa.array(map(to, piece.dictionary.to_pylist()), pa.string()).take(piece.indices)
        for piece in column.dictionary_encode().chunks
    ]
    return pa.chunked_array(pieces, pa.string())


def _moved(column: pa.ChunkedArray, to: Callable[[int], int]) -> pa.ChunkedArray:
    """Replace times (UNIX seconds), computing each different one once; nulls stay."""
    times = column.cast(pa.int64()).combine_chunks().dictionary_encode()
    moved = [to(time // 1000) * 1000 for time in times.dictionary.to_pylist()]
    return pa.chunked_array([pa.array(moved, pa.int64()).take(times.indices)]).cast(column.type)


def _whole_days(column: pa.ChunkedArray, since: int) -> pa.ChunkedArray:
    """Round times to whole days before or after a moment, in UNIX milliseconds."""
    apart = pc.subtract(column.cast(pa.int64()), since).cast(pa.float64())
    days = pc.floor(pc.divide(apart, _DAY)).cast(pa.int64())
    return pc.add(pc.multiply(days, _DAY), since).cast(column.type)


class Pictures:
    """Replacements of pictures' addresses, with the same verdict of `classify`.

    If a rule knows the host, then scheme, host, ending, Gravatar's parameters and the day of expiry
    are kept; the path is hashed, and the letters of initials are always the same. An unknown host
    is hashed, too, because it may be a person's own. An address with unusual characters becomes a
    simple one with the same verdict; a text that is no address keeps only its scheme. A picture
    that many people share stays shared.

    Args:
        token: returns the replacement of (kind, value).
        gravatar: returns the replacement of a Gravatar's hash.
        expiry: returns the replacement of a time of expiry, in UNIX seconds.
    """

    def __init__(
        self,
        token: Callable[[str, str], str],
        gravatar: Callable[[str], str],
        expiry: Callable[[int], int],
    ) -> None:
        self._token = token
        self._gravatar = gravatar
        self._expiry = expiry
        self._rules = lru_cache(_REMEMBERED)(_rules_for)
        self._asked = lru_cache(_REMEMBERED)(self._parameters)

    def stand_in(self, picture: str) -> str:
        """Return the replacement of a `picture` or a `user_metadata.picture`."""
        if _BLANK.fullmatch(picture):
            return ""
        parts = _ORDINARY.fullmatch(picture)
        if parts is None:
            return self._odd(picture)
        scheme, host, path, query = (part or "" for part in parts.groups())
        path = path or "/"
        for rule in self._rules(host):
            found = re.match(rule.path, path)
            if found:
                break
        else:
            return self._unknown(picture, scheme, host, path)
        below = host.removesuffix(rule.host)
        if below and not _MACHINE.fullmatch(below):
            below = f"{self._token('host', below)[:8]}."
        place = f"{scheme}://{below}{rule.host}"
        if rule.source is Source.UNRESOLVED:
            digest = found.group().rstrip("./").rpartition("/")[2].lower()
            asked = self._asked(query)
            return f"{place}/avatar/{self._gravatar(digest)}{_suffix(path)}{asked}"
        return place + self._rest(picture, rule, found.group(), _suffix(path))

    def _rest(self, picture: str, rule: Rule, begin: str, suffix: str) -> str:
        """Return the replaced path and query of a picture that a rule knows."""
        if rule.source is Source.INITIALS:
            return f"{begin}{_INITIALS}"
        token = self._token("picture", picture)
        if ".*" in rule.path:
            begin = rule.path.replace(".*", token)
        query = ""
        if rule.expires is not None:
            expiry = classify(picture).expires_at
            name, base = rule.expires
            seconds = self._expiry(int(expiry.timestamp())) if expiry else 0
            query = f"?{name}={seconds:{'x' if base == 16 else 'd'}}" if expiry else ""  # noqa: PLR2004 - the two bases that rules know
        return f"{begin}{token}{suffix}{query}"

    def _unknown(self, picture: str, scheme: str, host: str, path: str) -> str:
        token = self._token("picture", picture)
        for pattern, stand_in in _NEEDING_TOKEN:
            if pattern.search(picture):
                return f"{scheme}://{stand_in.format(token)}"
        return f"{scheme}://{self._token('host', host)}.invalid/{token}{_suffix(path)}"

    def _parameters(self, query: str) -> str:
        """Return the replaced query of a Gravatar."""
        verdict = classify(f"https://gravatar.com/avatar/{'0' * 32}?{query}")
        given = dict(parse_qsl(query, keep_blank_values=True))
        kept = {
            name: value
            for name, value in given.items()
            if (name in {"s", "size"} and re.fullmatch(r"\d{1,4}", value, re.ASCII))
            or (name in {"r", "rating"} and value.lower() in {"g", "pg", "r", "x"})
            or (name in {"f", "forcedefault"} and value.lower() in {"y", "yes"})
        }
        default = given.get("d", given.get("default"))
        if default is not None:
            kept["d"] = self._default(default, verdict)
        return f"?{urlencode(kept)}" if kept else ""

    def _default(self, default: str, verdict: Verdict) -> str:
        """Return the replacement of a Gravatar's fallback."""
        match verdict.fallback:
            case Fallback.INITIALS:
                return f"https://cdn.auth0.com/avatars/{_INITIALS}"
            case Fallback.CUSTOM:
                parts = _ORDINARY.fullmatch(default)
                host = parts.group(2) if parts else default
                return self._unknown(default, "https", host, (parts and parts.group(3)) or "/")
            case Fallback.GENERATED | Fallback.NONE:
                return default.strip().lower()  # one of Gravatar's own keywords
            case _:
                return "mp"

    def _odd(self, picture: str) -> str:
        """Return a simple address with the same verdict as an unusual one."""
        verdict = classify(picture)
        if verdict.source is Source.INVALID:
            found = _SCHEME.match(picture)
            kept = found.group(1).lower() if found else ""
            return f"{kept}{self._token('picture', picture)}"
        path = re.split(r"[?#]", picture, maxsplit=1)[0]
        # The host as browsers read it; the finding `insecure` uses the written form.
        written = picture.strip(" ")[:5].lower() == "http:"
        scheme = "https" if usable_override(picture) else "http" if written else "\thttp"
        if verdict.gravatar_hash is not None:
            default = "404" if verdict.fallback is Fallback.NONE else "identicon"
            asked = {"d": self._default(default, verdict)}
            asked |= {} if verdict.source is Source.UNRESOLVED else {"f": "y"}
            digest = self._gravatar(verdict.gravatar_hash)
            return f"{scheme}://gravatar.com/avatar/{digest}?{urlencode(asked)}"
        rule = _BY_REASON.get(verdict.reason)
        if rule is None:
            return self._unknown(picture, scheme, picture, path)
        rest = self._rest(picture, rule, _literal(rule.path), _suffix(path))
        return f"{scheme}://{rule.host}{rest}"


def _rules_for(host: str) -> tuple[Rule, ...]:
    return tuple(rule for rule in RULES if host == rule.host or host.endswith(f".{rule.host}"))


def _suffix(path: str) -> str:
    found = _SUFFIX.search(path)
    return found.group().lower() if found else ""


def _literal(pattern: str) -> str:
    """Return a path that a rule's pattern matches, with the first of its alternatives."""
    return re.sub(r"\(\?:([^|)]*)[^)]*\)", r"\1", pattern).replace("\\", "")
