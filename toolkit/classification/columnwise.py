"""Columns of users in, columns of verdicts out: the same as `classify`, many users at a time.

URLs are cut at their slashes and their question mark; which rules of `RULES` can match is found
once for each distinct host. What a verdict depends on beyond the rule (a Gravatar's query, the
identity behind an unknown host) is asked of `classify` once for each distinct value, and so is each
URL that needs decoding. So both classifiers always say the same, and a new row of `RULES` is known
to both.
"""

import re
from collections.abc import Hashable, Iterable, Iterator
from datetime import datetime
from itertools import islice
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
from toolkit.classification.sources import Evidence, Verdict, classify, usable_override
from toolkit.classification.times import milliseconds
from toolkit.classification.web_address import (
    CLOUDS,
    LONGEST,
    NO_HOSTS,
    NOBODY,
    PROXIES,
    SIGNED,
    UNFILLED,
)

_Mask = npt.NDArray[np.bool_]
_Rows = npt.NDArray[np.int64]

# URLs that need no decoding: a lower-case host without port, credentials and last dot, a slash, and
# visible ASCII without fragments and backslashes.
_PLAIN = r'^https?://[a-z0-9.-]*[a-z0-9-]/[!-"$-\[\]-~]*$'
# Those of them that were surely filled in, if a template made them: no part of their path begins
# with N or U, and no mark stands in it.
_FILLED = (
    r"^https?://[a-z0-9.-]*[a-z0-9-]"
    r"(?:/(?:[!-\"$&')-.0-;=>@-MO-TV-Z\]-moptv-z|}~][!-\"$&')-.0-;=>@-Z\]-z|}~]*)?)+"
    r"(?:\?[!-\"$-\[\]-~]*)?$"
)
# What Auth0 gives every user of a database, and so most of all pictures, begins with these two.
# Fact: Auth0 docs, "Change User Pictures", and its SDKs' examples.
_HOST, _AVATAR = "https://s.gravatar.com/", "avatar/"
_DIGITS = (32, 64)  # of an MD5 and of a SHA-256 hash
_HEXADECIMAL = np.isin(np.arange(256), np.frombuffer(b"0123456789abcdef", np.uint8))
_HASH = r"^avatar/(?P<hash>[0-9a-fA-F]{64}|[0-9a-fA-F]{32})"
_LATEST_EXPIRY = 2**32  # seconds; what is later is asked of `classify`
_REMEMBERED = 65_536
_WITHOUT_END = 1 << 30  # of a slice; with no end at all, Arrow 26 fails
_GRAVATAR = next(n for n, rule in enumerate(RULES) if rule.hashed)
_LABELS = max(host.count(".") for host in OF_HOST) + 1  # that a rule looks at
_PERHAPS_UNFILLED = f"(?i){UNFILLED.replace('$', '(?:[?]|$)')}"
_SIGNED = f"(?i){SIGNED}"
_PATHS = [re.compile(rule.path[1:]) for rule in RULES]
# For so few URLs, RE2 takes longer to compile the patterns than `re` to match them.
_FEW = 200
# Rules of which the query decides; rules that alone decide; parameters that say when URLs end.
_OF_QUERY = [
    number
    for number, rule in enumerate(RULES)
    if rule.source is Source.UNRESOLVED and rule.fallback is None and rule.hash_in is None
]
_DECISIVE = {
    number
    for number, rule in enumerate(RULES)
    if rule.source is not Source.UNRESOLVED or rule.fallback is not None
}
_EXPIRING = list(dict.fromkeys(rule.expires for rule in RULES if rule.expires))
_NO_END, _SIGNED_END = -1, len(_EXPIRING)
# What says when a URL of each rule ends, a place in `_EXPIRING` or one of these; then the same
# without a rule, and for URLs that are left (-1).
_ENDS = np.array(
    [
        _EXPIRING.index(rule.expires)
        if rule.expires
        else _NO_END
        if rule.source is Source.UNRESOLVED
        else _SIGNED_END
        for rule in RULES
    ]
    + [_SIGNED_END, _NO_END],
    np.int8,
)
_PERHAPS_EXPIRES = (
    f"(?i:{SIGNED}|[?&](?:{'|'.join(sorted({rule.expires[0] for rule in RULES if rule.expires}))})="
    "|/vp/|%)"
)
# What stands after a proxy's host: the host that it copied from.
_COPIED = r"^[a-z0-9-]+(?:\.[a-z0-9-]+)+/"
_CLOUDS = "|".join(CLOUDS)
_DECIMAL = 10
_MONTHS, _HOURS, _MINUTES = 12, 24, 60
_NOBODY = texts(sorted(NOBODY)).cast(pa.binary())
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
        """Judge what Auth0 gives every user of a database."""
        rows = np.flatnonzero(values_of(pc.starts_with(self.picture, _HOST + _AVATAR)))
        urls = self.picture.take(array(rows)).cast(pa.binary())  # bytes are cut ten times as fast
        self._by_hashes(rows, pc.binary_slice(urls, len(_HOST), _WITHOUT_END))

    def _by_hashes(self, rows: _Rows, rest: pa.BinaryArray) -> _Mask:
        """Judge Gravatar URLs by what stands behind their host: only the query decides.

        Returns:
            Which rows these are: those with a hash in lower case and a query.
        """
        judged = ~values_of(pc.starts_with(rest, _AVATAR))
        other = judged.copy()
        for digits in _DIGITS:
            if judged.all():
                break
            end = len(_AVATAR) + digits
            hashes = pc.binary_slice(rest, len(_AVATAR), end)
            query = pc.binary_slice(rest, end, _WITHOUT_END)
            fits = ~judged & _hexadecimal(hashes, digits) & values_of(pc.starts_with(query, "?"))
            fits &= ~values_of(pc.is_in(hashes, _NOBODY))
            judged |= fits
            found, some = rows[fits], np.flatnonzero(fits)
            self.rule[found] = _GRAVATAR
            self._by_query(found, _some(query, some), _GRAVATAR)
            self._hashes.append((found, _some(hashes, some).cast(pa.string())))
        found_all: _Mask = judged & ~other
        return found_all

    def _by_rules(self, left: _Rows) -> None:
        """Judge URLs that need no decoding."""
        filled = self._matching(left, _FILLED)
        others = left[~filled]
        others = others[self._matching(others, _PLAIN)]
        others = others[~self._matching(others, _PERHAPS_UNFILLED)]
        rows = np.concatenate([left[filled], others])
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
        rest = parts.take(array(begins + 3))
        halves = pc.split_pattern(rest, "?", max_splits=1)
        starts = values_of(halves.offsets)
        path = halves.values.take(array(starts[:-1]))  # without its first slash
        query = halves.values.take(array(starts[:-1] + 1, np.diff(starts) == 1))
        kinds = []
        for numbers, those in _by_kind(hosts.dictionary, host, ~rare):
            found = those
            if _GRAVATAR in numbers:
                found = those[~self._by_hashes(rows[those], _some(rest, those).cast(pa.binary()))]
            kinds.append((numbers, found))
        number = _first_matching(kinds, path)
        self._by_numbers(number, rows, path, query)

    def _by_numbers(
        self, number: _Rows, rows: _Rows, path: pa.StringArray, query: pa.StringArray
    ) -> None:
        """Judge URLs by their rules; those that need decoding after all are left.

        Args:
            number: the place of each URL's rule in `RULES`, `len(RULES)` for none, -1 to leave it.
            rows: their rows.
            path: their paths, without the first slash.
            query: their queries, or null.
        """
        self.rule[rows] = number
        place = np.full(len(RULES) + 1, -1, np.int32)
        row_of = np.full(len(RULES) + 1, -1, np.int64)
        row_of[number] = rows  # any row of each rule
        for one in _DECISIVE:
            if row_of[one] >= 0:
                place[one] = self._ask([one], [int(row_of[one])])[0]
        decided = np.flatnonzero(number >= 0)
        self.outcome[rows[decided]] = place[number[decided]]
        ends = _ENDS[number]
        for which, (name, base) in enumerate(_EXPIRING):
            mine = np.flatnonzero(ends == which)
            if len(mine):
                seconds = _expiry(blanked(_some(query, mine)), name, base)
                # The time may stand in the path.
                seconds[values_of(pc.starts_with(_some(path, mine), "vp/"))] = -1
                self._until(rows[mine], seconds)
        unknown = np.flatnonzero(number == len(RULES))
        self._by_identity(rows[unknown])
        mine = np.flatnonzero((ends == _SIGNED_END) & values_of(query.is_valid()))
        if len(mine):
            asked = pc.binary_join_element_wise(text(""), _some(query, mine), text("?"))
            signed = values_of(pc.match_substring_regex(asked, _SIGNED))
            mine, asked = mine[signed], asked.filter(array(signed))
            few = len(mine) <= _FEW
            self._until(rows[mine], np.full(len(mine), -1) if few else _stamped(asked))
        for one in _OF_QUERY:
            mine = np.flatnonzero(number == one)
            self._by_query(rows[mine], blanked(_some(query, mine)), one)
            if RULES[one].hashed:
                found = pc.struct_field(pc.extract_regex(_some(path, mine), _HASH), [0])
                self._hashes.append((rows[mine], pc.ascii_lower(found)))

    def _until(self, rows: _Rows, seconds: _Rows) -> None:
        """Say when URLs end, in seconds: 0 for never; where that is unsure (-1), they are left."""
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
    overridden = np.zeros(len(metadata_picture), np.bool_)
    rows = np.flatnonzero(values_of(pc.binary_length(blanked(metadata_picture))) > 0)
    pictures = metadata_picture.take(array(rows))  # most users have none
    plain = values_of(pc.match_substring_regex(pictures, _PLAIN))
    usable = plain & values_of(pc.starts_with(pictures, "https"))
    alone = ~plain
    if at is not None:
        expiring = usable & values_of(pc.match_substring_regex(pictures, _PERHAPS_EXPIRES))
        some = np.flatnonzero(expiring)
        if len(some) <= _FEW:
            alone |= expiring
        else:
            nothing = pa.nulls(len(some), pa.string())
            expiry = _Column(pictures.take(array(some)), nothing, nothing).expiry
            usable[some] = (expiry == 0) | (expiry > milliseconds(at))
    for place in np.flatnonzero(alone).tolist():
        usable[place] = usable_override(pictures[place].as_py(), at)
    overridden[rows] = usable
    return overridden


def _hexadecimal(values: pa.BinaryArray, digits: int) -> _Mask:
    """Whether each value is so many hexadecimal digits in lower case."""
    long: _Mask = values_of(pc.binary_length(values)) == digits
    whole = values if long.all() else values.filter(array(long))
    _, offsets, data = whole.buffers()
    begin = int(np.frombuffer(offsets, np.int32, 1, 4 * whole.offset)[0]) if len(whole) else 0
    found = np.frombuffer(data or b"", np.uint8, len(whole) * digits, begin)
    long[long] = _HEXADECIMAL[found].reshape(-1, digits).all(axis=1)
    return long


def _some(column: pa.StringArray, rows: _Rows) -> pa.StringArray:
    return column if len(rows) == len(column) else column.take(array(rows))


def _first_matching(kinds: Iterable[tuple[tuple[int, ...], _Rows]], path: pa.StringArray) -> _Rows:
    """Say which rule matches each path first.

    Args:
        kinds: places in `RULES`, in order, and the rows of the paths that these may match.
        path: the paths, without their first slash.

    Returns:
        For each path a place in `RULES`, `len(RULES)` where none matches, -1 for other rows.
    """
    number = np.full(len(path), -1, np.int64)
    few: list[tuple[tuple[int, ...], _Rows]] = []
    for numbers, rows in kinds:
        if len(rows) <= _FEW:
            few.append((numbers, rows))
            continue
        number[rows] = len(RULES)
        some = rows
        for one in numbers:
            matching = np.ones(len(some), np.bool_)
            if pattern := RULES[one].path[1:]:
                paths = path.take(array(some))
                matching = values_of(pc.match_substring_regex(paths, f"^(?:{pattern})"))
            number[some[matching]] = one
            some = some[~matching]
    all_few = np.concatenate([np.zeros(0, np.int64), *(rows for _, rows in few)])
    paths = iter(path.take(array(all_few)).to_pylist())
    number[all_few] = [
        next((one for one, match in matches if match(held)), len(RULES))
        for numbers, rows in few
        for matches in [[(one, _PATHS[one].match) for one in numbers]]
        for held in islice(paths, len(rows))
    ]
    return number


def _by_kind(
    hosts: pa.StringArray, host: _Rows, judged: _Mask
) -> Iterator[tuple[tuple[int, ...], _Rows]]:
    """Yield which rules know some hosts, as places in `RULES`, and the rows with such a host.

    Args:
        hosts: distinct hosts.
        host: the place of each row's host among them.
        judged: which rows are meant.
    """
    known: dict[tuple[int, ...], int] = {}
    kinds = np.zeros(len(hosts), np.int16)
    for place, name in enumerate(hosts.to_pylist()):
        numbers: set[int] = set()
        above = ".".join(name.rsplit(".", _LABELS)[-_LABELS:])
        while above:
            numbers.update(OF_HOST.get(above, ()))
            _, _, above = above.partition(".")
        kinds[place] = known.setdefault(tuple(sorted(numbers)), len(known))
    kind = np.where(judged, kinds[host], np.int16(len(known)))
    order = np.argsort(kind, kind="stable")  # quicker than to look for each kind in all rows
    ends = np.searchsorted(kind[order], np.arange(len(known) + 1))
    yield from zip(known, np.split(order, ends[1:]), strict=False)


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
