"""Columns of users in, columns of verdicts out: the same as `classify`, many users at a time.

URLs are cut at their slashes and their question mark; which rules of `RULES` can match is found
once for each distinct host. What a verdict depends on beyond the rule (a Gravatar's query, the
identity behind an unknown host) is asked of `classify` once for each distinct value, and so is each
URL that needs decoding. So both classifiers always say the same, and a new row of `RULES` is known
to both.
"""

from collections.abc import Hashable, Iterable
from datetime import datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from toolkit.classification.arrow import (
    array,
    blanked,
    first_bytes,
    flag,
    text,
    texts,
    values_of,
    whole,
)
from toolkit.classification.held_elsewhere import OWN
from toolkit.classification.rules import OF_HOST, RULES, TOKEN_ONLY, Source
from toolkit.classification.schema import CLASSIFICATION, ENCODED, completed
from toolkit.classification.sources import Evidence, Verdict, classify
from toolkit.classification.sources import usable_override as usable
from toolkit.classification.user_profile import milliseconds
from toolkit.classification.web_address import (
    CLOUDS,
    LONGEST,
    NO_HOSTS,
    PROXIES,
    SIGNED,
    UNFILLED,
)

_Mask = npt.NDArray[np.bool_]
_Rows = npt.NDArray[np.int64]

# URLs that need no decoding: a lower-case host without port, credentials and last dot, a slash, and
# visible ASCII without fragments and backslashes.
_PLAIN = r'^https?://[a-z0-9.-]*[a-z0-9-]/[!-"$-\[\]-~]*$'
# What Auth0 gives every user of a database, and so most of all pictures.
# Fact: Auth0 docs, "Change User Pictures", and its SDKs' examples.
_DEFAULT = "https://s.gravatar.com/avatar/"
_BEGIN, _DIGITS = len(_DEFAULT), 32
_END = _BEGIN + _DIGITS
_HEXADECIMAL = np.isin(np.arange(256), np.frombuffer(b"0123456789abcdef", np.uint8))
_HASH = r"^avatar/(?P<hash>[0-9a-fA-F]{64}|[0-9a-fA-F]{32})"
_LATEST_EXPIRY = 2**32  # seconds; what is later is asked of `classify`
_REMEMBERED = 65_536
_GRAVATAR = next(n for n, rule in enumerate(RULES) if rule.hashed)
_LABELS = max(host.count(".") for host in OF_HOST) + 1  # that a rule looks at
# For paths without their first slash.
_UNFILLED_PATH = f"(?i){UNFILLED.replace('/', '(?:^|/)', 1)}"
_SIGNED = f"(?i){SIGNED}"
_PERHAPS_EXPIRES = (
    f"(?i:{SIGNED}|[?&](?:{'|'.join(sorted({rule.expires[0] for rule in RULES if rule.expires}))})="
    "|/vp/|%)"
)
# What stands after a proxy's host: the host that it copied from.
_COPIED = r"^[a-z0-9-]+(?:\.[a-z0-9-]+)+/"
_CLOUDS = "|".join(CLOUDS)
_DECIMAL = 10
_MONTHS, _HOURS, _MINUTES = 12, 24, 60
_NOBODY = texts(["0" * _DIGITS, "d41d8cd98f00b204e9800998ecf8427e"]).cast(pa.binary())
# What begins with two slashes, or with `data:`, as browsers read it.
_HOSTED = r"^[/\\][\t\n\r]*[/\\]"
_DATA = r"(?i)^d[\t\n\r]*a[\t\n\r]*t[\t\n\r]*a[\t\n\r]*:"
_PLAIN_IMAGE = r"(?i)^data:image/[a-z0-9.+-]+(?:;[!-+\--~]*)?,[!-~]"


class _Outcome(NamedTuple):
    """What many verdicts have in common, as plain texts, because enums are slow to look up."""

    source: str
    provider: str | None
    fallback: str | None
    evidence: str


# Outcomes by what decides them; emptied when it has grown, because the keys are users' data.
_known: dict[Hashable, _Outcome] = {}


def classified(
    picture: pa.StringArray,
    metadata_picture: pa.StringArray,
    strategy: pa.StringArray,
    connection: pa.StringArray,
    *,
    at: datetime | None = None,
) -> pa.Table:
    """Classify users as `toolkit.classification.sources.classify` would one by one.

    `at` is its argument `at`, for all of them.

    Returns:
        One row a user with the columns of `toolkit.classification.schema.CLASSIFICATION`.
    """
    verdicts = _encoded(picture, metadata_picture, strategy, connection, at=at)
    return pa.table(verdicts).cast(CLASSIFICATION)


def with_verdicts(profiles: pa.Table, at: datetime | None = None) -> pa.Table:
    """Append the classification to the columns of `PROFILE`; returns the columns of `ENCODED`.

    `at` as for `classified`.
    """
    deciding = ("picture", "metadata_picture", "strategy", "connection")
    verdicts = _encoded(*(whole(profiles[name]) for name in deciding), at=at)
    known = dict(zip(profiles.column_names, profiles.columns, strict=True))
    return completed(pa.table(known | verdicts), ENCODED).cast(ENCODED)


def _encoded(
    picture: pa.Array,
    metadata_picture: pa.Array,
    strategy: pa.Array,
    connection: pa.Array,
    *,
    at: datetime | None,
) -> dict[str, pa.Array]:
    """Classify users; columns with few distinct values are dictionary-encoded."""
    column = _Column(blanked(picture), strategy, connection)
    overridden = _overridden(metadata_picture, at)
    times = CLASSIFICATION.field("expires_at").type
    return {
        "source": column.field("source", overridden, Source.METADATA.value),
        "underlying": column.field("source"),
        "provider": column.field("provider"),
        "fallback": column.field("fallback"),
        "evidence": column.field("evidence", overridden, Evidence.URL.value),
        "expires_at": array(column.expiry, column.expiry == 0).cast(times),
        "gravatar_hash": column.hashes(),
    }


def are_own(addresses: pa.StringArray) -> _Mask:
    """Say of each address what `toolkit.classification.held_elsewhere.is_own` says; of null, no."""
    nothing = pa.nulls(len(addresses), pa.string())
    verdicts = classified(addresses, addresses, nothing, nothing)
    own = pc.and_(
        pc.equal(verdicts["source"], text(Source.METADATA)),  # it is usable as an override
        pc.is_in(verdicts["underlying"], texts(OWN)),
    )
    own = pc.and_(own, pc.is_null(verdicts["expires_at"]))
    pattern = "|".join(TOKEN_ONLY)
    tokens = pc.match_substring_regex(addresses, pattern, ignore_case=True).fill_null(flag(False))
    found: _Mask = values_of(whole(own)) & ~values_of(tokens)
    return found


def alike(picture: pa.StringArray) -> tuple[_Rows, _Rows]:
    """Tell which pictures differ in nothing that rules look at, but for queries of Gravatars.

    Returns:
        For each row the place of its rule in `RULES`, `len(RULES)` where no rule knows the host,
        -1 where only `classify` can tell; and when it expires, in milliseconds, 0 for never.
    """
    nothing = pa.nulls(len(picture), pa.string())
    column = _Column(blanked(picture), nothing, nothing)
    return column.rule, column.expiry


class _Column:
    """A column of pictures, judged."""

    def __init__(
        self, picture: pa.StringArray, strategy: pa.StringArray, connection: pa.StringArray
    ) -> None:
        self.picture, self.strategy, self.connection = picture, strategy, connection
        self.outcomes: dict[_Outcome, int] = {}
        self.outcome = np.full(len(picture), -1, np.int32)
        self.expiry = np.zeros(len(picture), np.int64)  # milliseconds; 0 is none
        self.rule = np.full(len(picture), -1, np.int64)  # places in RULES, as `alike` returns them
        self._hashes: list[tuple[_Rows, pa.StringArray]] = []
        first = first_bytes(picture)
        nothing = values_of(pc.binary_length(picture)) == 0
        self._all_alike(np.flatnonzero(nothing))
        # It begins with none of a blank, which browsers drop, `http`, `//` and `data:`.
        visible = first > ord(" ")
        slashed = visible & ((first == ord("/")) | (first == ord("\\")))
        data = visible & (first | 0x20 == ord("d"))
        foreign = visible & (first | 0x20 != ord("h"))
        for begun, pattern in ((slashed, _HOSTED), (data, _DATA)):
            rows = np.flatnonzero(begun)
            foreign[rows] = ~self._matching(rows, pattern)
        self._all_alike(np.flatnonzero(foreign & ~nothing))
        rows = np.flatnonzero(data & ~foreign)
        self._by_identity(rows[self._matching(rows, _PLAIN_IMAGE)])
        self._defaults()
        self._by_rules(np.flatnonzero((self.outcome < 0) & (first | 0x20 == ord("h"))))
        self._one_by_one(np.flatnonzero(self.outcome < 0))

    def field(self, name: str, where: _Mask | None = None, value: str = "") -> pa.DictionaryArray:
        """Return one field of the outcome of every row, or `value` in the rows of `where`."""
        parts = [getattr(one, name) for one in self.outcomes]
        outcome = self.outcome
        if where is not None:
            outcome = np.where(where, np.int32(len(parts)), outcome)
            parts.append(value)
        return texts(parts).dictionary_encode().take(array(outcome))

    def hashes(self) -> pa.StringArray:
        """Return the Gravatar hash of every row, or null."""
        place = np.full(len(self.picture), -1, np.int64)
        rows = np.concatenate([rows for rows, _ in self._hashes])
        place[rows] = np.arange(len(rows))
        return pa.concat_arrays([one for _, one in self._hashes]).take(array(place, place < 0))

    def _ask(self, keys: Iterable[Hashable], rows: Iterable[int]) -> npt.NDArray[np.int32]:
        """Return the place of each key's outcome; `classify` is asked about one row of each key."""
        found = []
        for key, row in zip(keys, rows, strict=True):
            outcome = _known.get(key)
            if outcome is None:
                outcome = _outcome(self._verdict(row))
                if len(_known) >= _REMEMBERED:
                    _known.clear()
                _known[key] = outcome
            found.append(outcome)
        return self._places(found)

    def _places(self, outcomes: Iterable[_Outcome]) -> npt.NDArray[np.int32]:
        held = self.outcomes
        return np.array([held.setdefault(one, len(held)) for one in outcomes], np.int32)

    def _verdict(self, row: int) -> Verdict:
        return classify(
            self.picture[row].as_py(),
            strategy=self.strategy[row].as_py(),
            connection=self.connection[row].as_py(),
        )

    def _all_alike(self, rows: _Rows) -> None:
        if len(rows):
            self.outcome[rows] = self._places([_outcome(self._verdict(int(rows[0])))])

    def _matching(self, rows: _Rows, pattern: str) -> _Mask:
        """Whether the pictures in these rows match a pattern."""
        matching: _Mask = values_of(
            pc.match_substring_regex(self.picture.take(array(rows)), pattern)
        )
        return matching

    def _defaults(self) -> None:
        """Judge what Auth0 gives every user of a database: only the query decides."""
        rows = np.flatnonzero(values_of(pc.starts_with(self.picture, _DEFAULT)))
        urls = self.picture.take(array(rows)).cast(pa.binary())  # bytes are cut ten times as fast
        hashes = pc.binary_slice(urls, _BEGIN, _END)
        hashed = _hexadecimal(hashes) & ~values_of(pc.is_in(hashes, _NOBODY))
        # Without an end, Arrow 26 fails.
        query = pc.binary_slice(urls, _END, 1 << 30)
        hashed &= values_of(pc.starts_with(query, "?"))
        if not hashed.all():
            rows, held = rows[hashed], array(hashed)
            hashes, query = hashes.filter(held), query.filter(held)
        self.rule[rows] = _GRAVATAR
        self._by_query(rows, query, _GRAVATAR)
        self._hashes.append((rows, hashes.cast(pa.string())))

    def _by_rules(self, left: _Rows) -> None:
        """Judge URLs that need no decoding."""
        rows = left[self._matching(left, _PLAIN)]
        self._judge(rows, self.picture.take(array(rows)), copied=False)

    def _judge(self, rows: _Rows, urls: pa.StringArray, *, copied: bool) -> None:
        """Judge URLs of which nothing needs decoding; those that do after all are left."""
        parts = pc.split_pattern(urls, "/", max_splits=3).flatten()
        begins = 4 * np.arange(len(rows))  # of "https:", "", the host and the rest
        hosts = parts.take(array(begins + 2)).dictionary_encode()
        host = values_of(hosts.indices)
        copies = values_of(pc.is_in(hosts.dictionary, texts(PROXIES)))[host]
        rare = copies | values_of(pc.is_in(hosts.dictionary, texts(sorted(NO_HOSTS))))[host]
        if copies.any() and not copied:
            # Gravatar's image proxy: what it copied stands after its host.
            rest = parts.take(array(begins[copies] + 3))
            hosted = values_of(pc.match_substring_regex(rest, _COPIED))
            rest = rest.filter(array(hosted))
            rest = pc.binary_join_element_wise(text("https:/"), rest, text("/"))
            self._judge(rows[copies][hosted], rest, copied=True)
        known, kinds = _known_by(hosts.dictionary)
        kind = np.where(rare, np.int16(len(known)), kinds[host])
        order = np.argsort(kind, kind="stable")  # quicker than to look for each kind in all rows
        ends = np.searchsorted(kind[order], np.arange(len(known) + 1))
        for numbers, begin, end in zip(known, ends[:-1], ends[1:], strict=True):
            found = order[begin:end]
            rest = parts.take(array(begins[found] + 3))
            self._of_rules(numbers, rows[found], rest)

    def _of_rules(self, numbers: tuple[int, ...], rows: _Rows, rest: pa.StringArray) -> None:
        """Judge URLs of hosts that the same rules know, by what stands after their host."""
        halves = pc.split_pattern(rest, "?", max_splits=1)
        starts = values_of(halves.offsets)
        path = halves.values.take(array(starts[:-1]))  # without its first slash
        asks = np.diff(starts) > 1
        of_all = next((one for one in numbers if RULES[one].path == "/"), len(RULES))
        paths = [(one, f"^(?:{RULES[one].path[1:]})") for one in numbers if one < of_all]
        judged = np.full(len(rows), of_all, np.int64)
        # Most match none of them, so all are asked at once first.
        some = np.arange(len(rows))
        if of_all < len(RULES) or not paths:
            any_path = "|".join((_UNFILLED_PATH, *(pattern for _, pattern in paths)))
            some = np.flatnonzero(values_of(pc.match_substring_regex(path, any_path)))
        held = _some(path, some)
        for number, pattern in ((-1, _UNFILLED_PATH), *paths):
            matching = values_of(pc.match_substring_regex(held, pattern))
            if matching.any():
                judged[some[matching]] = number
                some, held = some[~matching], held.filter(array(~matching))
        for number in np.unique(judged[judged >= 0]).tolist():
            mine = np.flatnonzero(judged == number)
            query = halves.values.take(array(starts[mine] + 1, ~asks[mine]))
            self._by_rule(number, rows[mine], _some(path, mine), query)

    def _by_rule(
        self, number: int, rows: _Rows, path: pa.StringArray, query: pa.StringArray
    ) -> None:
        """Judge URLs of one rule, or of none; those that need decoding after all are left."""
        self.rule[rows] = number
        rule = RULES[number] if number < len(RULES) else None
        if rule is None:
            self._by_identity(rows)
            self._by_signature(rows, query)
        elif rule.source is Source.UNRESOLVED and rule.hash_in is not None:
            self.rule[rows] = -1
        elif rule.source is Source.UNRESOLVED and rule.fallback is None:
            self._by_query(rows, blanked(query), number)
            if rule.hashed:
                found = pc.struct_field(pc.extract_regex(path, _HASH), [0])
                self._hashes.append((rows, pc.ascii_lower(found)))
        elif rule.expires is not None:
            seconds = _expiry(blanked(query), *rule.expires)
            if rule.expires_in_path is not None:
                seconds[values_of(pc.starts_with(path, "vp/"))] = -1
            self.expiry[rows] = 1000 * np.maximum(seconds, 0)
            self.rule[rows[seconds < 0]] = -1
            self._all_alike(rows[seconds >= 0])
        else:
            self._all_alike(rows)
            if rule.source is not Source.UNRESOLVED:
                self._by_signature(rows, query)

    def _by_signature(self, rows: _Rows, query: pa.StringArray) -> None:
        """Say when URLs end that are signed in one of the general ways; a query may be null."""
        if query.null_count == len(query):
            return
        asked = np.flatnonzero(values_of(query.is_valid()))
        query = pc.binary_join_element_wise(text(""), query.take(array(asked)), text("?"))
        signed = values_of(pc.match_substring_regex(query, _SIGNED))
        if not signed.any():
            return
        rows, seconds = rows[asked[signed]], _stamped(query.filter(array(signed)))
        self.expiry[rows] = 1000 * np.maximum(seconds, 0)
        unsure = rows[seconds < 0]
        self.rule[unsure], self.outcome[unsure] = -1, -1

    def _by_query(self, rows: _Rows, query: pa.Array, kind: int) -> None:
        """Judge URLs of one kind whose query decides."""
        encoded = query.dictionary_encode()
        code = values_of(encoded.indices)
        one_of_each = np.zeros(len(encoded.dictionary), np.int64)
        one_of_each[code] = rows
        keys = ((kind, one) for one in encoded.dictionary.to_pylist())
        self.outcome[rows] = self._ask(keys, one_of_each.tolist())[code]

    def _by_identity(self, rows: _Rows) -> None:
        """Judge URLs of hosts that no rule knows: the identity alone decides."""
        strategy, connection = (
            column.take(array(rows)).dictionary_encode(null_encoding="encode")
            for column in (self.strategy, self.connection)
        )
        width = len(connection.dictionary)
        both = values_of(strategy.indices).astype(np.int64) * width + values_of(connection.indices)
        _, first, code = np.unique(both, return_index=True, return_inverse=True)
        asked = rows[first].tolist()
        keys = ((self.strategy[row].as_py(), self.connection[row].as_py(), "") for row in asked)
        self.outcome[rows] = self._ask(keys, asked)[code]

    def _one_by_one(self, rows: _Rows) -> None:
        verdicts = [self._verdict(row) for row in rows.tolist()]
        self.outcome[rows] = self._places(map(_outcome, verdicts))
        self.expiry[rows] = [
            round(one.expires_at.timestamp()) * 1000 if one.expires_at else 0 for one in verdicts
        ]
        self._hashes.append((rows, texts([one.gravatar_hash for one in verdicts])))


def _outcome(verdict: Verdict) -> _Outcome:
    fallback = verdict.fallback.value if verdict.fallback else None
    return _Outcome(verdict.underlying.value, verdict.provider, fallback, verdict.evidence.value)


def _overridden(metadata_picture: pa.StringArray, at: datetime | None) -> _Mask:
    """Whether `usable_override` says so of each row."""
    pictures = blanked(metadata_picture)
    plain = values_of(pc.match_substring_regex(pictures, _PLAIN))
    overridden: _Mask = plain & values_of(pc.starts_with(pictures, "https"))
    held = values_of(pc.binary_length(pictures)) > 0
    for row in np.flatnonzero(held & ~plain).tolist():
        overridden[row] = usable(pictures[row].as_py(), at)
    if at is not None:
        rows = np.flatnonzero(overridden)
        urls = pictures.take(array(rows))
        rows = rows[values_of(pc.match_substring_regex(urls, _PERHAPS_EXPIRES))]
        nothing = pa.nulls(len(rows), pa.string())
        expiry = _Column(pictures.take(array(rows)), nothing, nothing).expiry
        overridden[rows] = (expiry == 0) | (expiry > milliseconds(at))
    return overridden


def _hexadecimal(values: pa.BinaryArray) -> _Mask:
    """Whether each value is an MD5 hash in lower case."""
    long: _Mask = values_of(pc.binary_length(values)) == _DIGITS
    whole = values if long.all() else values.filter(array(long))
    _, offsets, data = whole.buffers()
    begin = int(np.frombuffer(offsets, np.int32, 1, 4 * whole.offset)[0]) if len(whole) else 0
    digits = np.frombuffer(data or b"", np.uint8, len(whole) * _DIGITS, begin)
    long[long] = _HEXADECIMAL[digits].reshape(-1, _DIGITS).all(axis=1)
    return long


def _some(column: pa.StringArray, rows: _Rows) -> pa.StringArray:
    return column if len(rows) == len(column) else column.take(array(rows))


def _known_by(hosts: pa.StringArray) -> tuple[list[tuple[int, ...]], npt.NDArray[np.int16]]:
    """Return which sets of rules know some hosts, as places in `RULES`; and which knows each."""
    found: dict[tuple[int, ...], int] = {}
    kinds = np.zeros(len(hosts), np.int16)
    for place, host in enumerate(hosts.to_pylist()):
        numbers: set[int] = set()
        above = ".".join(host.rsplit(".", _LABELS)[-_LABELS:])
        while above:
            numbers.update(OF_HOST.get(above, ()))
            _, _, above = above.partition(".")
        kinds[place] = found.setdefault(tuple(sorted(numbers)), len(found))
    return list(found), kinds


def _expiry(query: pa.StringArray, name: str, base: int) -> _Rows:
    """Return the seconds that a query parameter holds, 0 without it, -1 where that is unsure."""
    query = pc.binary_join_element_wise(text("&"), query, text("&"), text(""))
    times = values_of(pc.count_substring(query, f"&{name}="))
    # A name without a value, or one that may be written in another way.
    unsure = values_of(pc.match_substring_regex(query, f"&{name}&|&[^=&]*[%+]"))
    digits = "0-9" if base == _DECIMAL else "0-9a-fA-F"
    pattern = f"&{name}=(?P<digits>[{digits}]{{1,10}})&"
    found = pc.struct_field(pc.extract_regex(query, pattern), [0])
    if base == _DECIMAL:
        seconds = values_of(found.fill_null(text("-1")).cast(pa.int64()))
    else:
        seconds = np.array([int(one, base) if one else -1 for one in found.to_pylist()], np.int64)
    sure = ~unsure & (times == 1) & (seconds > 0) & (seconds < _LATEST_EXPIRY)
    return np.where(sure, seconds, np.where(unsure | (times > 0), -1, 0))


def _stamped(urls: pa.StringArray) -> _Rows:
    """Return when URLs with `X-…-Date` and `X-…-Expires` end; -1 where that is unsure."""
    query = pc.binary_join_element_wise(urls, text("&"), text(""))
    ends = np.full(len(urls), -1, np.int64)
    sure = values_of(pc.count_substring(query, "?")) == 1
    # A name that may be written in another way.
    sure &= ~values_of(pc.match_substring_regex(query, "[?&][^=&]*[%+]"))
    for name in ("date", "expires"):
        times = pc.count_substring_regex(query, f"(?i)[?&]x-(?:{_CLOUDS})-{name}=")
        sure &= values_of(times) == 1
    found = [
        pc.extract_regex(query, rf"(?i)[?&]x-(?P<cloud>{_CLOUDS})-{name}=(?P<value>{value})&")
        for name, value in (("date", r"2[01]\d{6}T\d{6}Z"), ("expires", r"\d{1,7}"))
    ]
    (cloud, date), (other, lasts) = (
        [blanked(pc.struct_field(one, [number])) for number in (0, 1)] for one in found
    )
    sure &= values_of(pc.equal(pc.ascii_lower(cloud), pc.ascii_lower(other)))
    sure &= values_of(pc.binary_length(date)) > 0
    rows = np.flatnonzero(sure)
    date = date.take(array(rows)).cast(pa.binary())
    year, month, day, hour, minute, second = (
        pc.binary_slice(date, start, end).cast(pa.string()).cast(pa.int64())
        for start, end in ((0, 4), (4, 6), (6, 8), (9, 11), (11, 13), (13, 15))
    )
    months = (12 * (values_of(year) - 1970) + values_of(month) - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]").astype(np.int64) + values_of(day) - 1
    exists = (days >= months.astype("datetime64[D]").astype(np.int64)) & (
        days < (months + 1).astype("datetime64[D]").astype(np.int64)
    )
    exists &= (values_of(month) >= 1) & (values_of(month) <= _MONTHS)
    exists &= (values_of(hour) < _HOURS) & (values_of(minute) < _MINUTES)
    exists &= values_of(second) < _MINUTES
    begun = 60 * (60 * (24 * days + values_of(hour)) + values_of(minute)) + values_of(second)
    lasts = values_of(lasts.take(array(rows)).cast(pa.int64()))
    exists &= (lasts > 0) & (lasts <= LONGEST)
    ends[rows] = np.where(exists, begun + lasts, -1)
    return ends
