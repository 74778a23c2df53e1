"""Columns of users in, columns of verdicts out: the same as `classify`, many users at a time.

No rule stands here. URLs are cut at their slashes and their question mark; which rules of
`RULES` can match is found once for each distinct host, and what a verdict depends on beyond the
rule (a Gravatar's query, the identity behind an unknown host) is asked of `classify` once for
each distinct value. A URL that is not plainly made of ordinary characters is given to `classify`
as it is. So both classifiers always say the same, and a new row of `RULES` is known to both.
"""

import re
from collections.abc import Callable, Hashable, Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from toolkit.classification.arrow import (
    array,
    blanked,
    first_bytes,
    text,
    text_bytes,
    texts,
    texts_with,
    values_of,
    whole,
)
from toolkit.classification.schema import CLASSIFICATION, ENCODED
from toolkit.classification.sources import RULES, Evidence, Rule, Source, Verdict, classify
from toolkit.classification.sources import usable_override as usable

_Mask = npt.NDArray[np.bool_]
_Rows = npt.NDArray[np.int64]

# Names that need no decoding: lower case, no port, no credentials, no dot at the end.
_HOST = r"^[a-z0-9.-]*[a-z0-9-]$"
_DIGITS = np.full(256, -1, np.int64)
for _value, _digit in enumerate("0123456789abcdef"):
    _DIGITS[[ord(_digit), ord(_digit.upper())]] = _value
_LOWER = np.zeros(256, np.bool_)
_LOWER[list(b"0123456789abcdef")] = True
_LONGEST_EXPIRY = 10  # digits
_LATEST_EXPIRY = 2**32  # seconds; what is later is asked of `classify`
_REMEMBERED = 65_536
# What Auth0 gives every user of a database, and so most of all pictures, begins like this; 32
# digits follow, and a query. Fact: Auth0 docs, "Change User Pictures", and its SDKs' examples.
_DEFAULT = "https://s.gravatar.com/avatar/"
_HASH = 32
# Where in `RULES` the rules of a host stand, the one that knows Gravatars, and those that look at
# more of a URL than its host.
_OF_HOST: dict[str, list[int]] = {}
for _place, _rule in enumerate(RULES):
    _OF_HOST.setdefault(_rule.host, []).append(_place)
_GRAVATAR = next(n for n, rule in enumerate(RULES) if rule.source is Source.UNRESOLVED)
_LABELS = max(rule.host.count(".") for rule in RULES) + 1  # that a rule looks at
_DEEP = [n for n, rule in enumerate(RULES) if rule.path != "/" or rule.expires or n == _GRAVATAR]


class _Outcome(NamedTuple):
    """What many verdicts have in common, as plain texts: enums are slow to look up."""

    source: str
    provider: str | None
    fallback: str | None
    evidence: str


class _Urls(NamedTuple):
    """The URLs of a column that can be cut apart without decoding anything.

    Attributes:
        rows: which rows of the column; of each further field there is one value a row.
        code: which host, as a place in `hosts`.
        hosts: the distinct hosts.
        rest: what follows the slash after the host.
        secure: whether the scheme is https.
    """

    rows: _Rows
    code: _Rows
    hosts: pa.StringArray
    rest: pa.StringArray
    secure: _Mask


# Verdicts that were asked for once; data of columns, so it is forgotten when it grows.
_known: dict[str, dict[Hashable, _Outcome]] = {}


def classified(
    picture: pa.StringArray,
    metadata_picture: pa.StringArray,
    strategy: pa.StringArray,
    connection: pa.StringArray,
) -> pa.Table:
    """Classify users as `toolkit.classification.sources.classify` would one by one.

    Args:
        picture: the root `picture` of each user, null where there is none.
        metadata_picture: `user_metadata.picture`.
        strategy: the primary identity's provider.
        connection: the primary identity's connection.

    Returns:
        One row a user with the columns of `toolkit.classification.schema.CLASSIFICATION`.
    """
    verdicts = _encoded(picture, metadata_picture, strategy, connection)
    columns = [verdicts[field.name].cast(field.type) for field in CLASSIFICATION]
    return pa.table(columns, schema=CLASSIFICATION)


def with_verdicts(profiles: pa.Table) -> pa.Table:
    """Append the classification to a table with the columns of `PROFILE`.

    Returns:
        A table with the columns of `toolkit.classification.schema.ENCODED`.
    """
    deciding = ("picture", "metadata_picture", "strategy", "connection")
    verdicts = _encoded(*(whole(profiles[name]) for name in deciding))
    columns = [*profiles.columns, *(verdicts[name] for name in CLASSIFICATION.names)]
    return pa.table(columns, schema=ENCODED)


def _encoded(
    picture: pa.StringArray,
    metadata_picture: pa.StringArray,
    strategy: pa.StringArray,
    connection: pa.StringArray,
) -> dict[str, pa.Array]:
    """Classify users; columns with few distinct values are dictionary-encoded."""
    column = _Column(blanked(picture), strategy, connection)
    column.judge()
    overridden = _overridden(metadata_picture)
    return {
        "source": column.dictionary_column(
            lambda one: one.source, overridden, Source.METADATA.value
        ),
        "underlying": column.dictionary_column(lambda one: one.source),
        "provider": column.dictionary_column(lambda one: one.provider),
        "fallback": column.dictionary_column(lambda one: one.fallback),
        "evidence": column.dictionary_column(
            lambda one: one.evidence, overridden, Evidence.URL.value
        ),
        "expires_at": array(column.expiry, column.expiry == 0).cast(
            CLASSIFICATION.field("expires_at").type
        ),
        "gravatar_hash": column.hashes(),
    }


def alike(picture: pa.StringArray) -> tuple[_Rows, _Rows]:
    """Tell which pictures differ in nothing that rules look at, but for queries of Gravatars.

    Args:
        picture: URLs; null where there is none.

    Returns:
        For each row the place of its rule in `RULES`, `len(RULES)` where no rule knows the host,
        -1 where only `classify` can tell; and when it expires, in milliseconds, 0 for never.
    """
    nothing = pa.nulls(len(picture), pa.string())
    column = _Column(blanked(picture), nothing, nothing)
    column.judge()
    return column.rule, column.expiry


def tabulated_verdicts(verdicts: Iterable[Verdict]) -> pa.Table:
    """Put verdicts into a table: one row each, the columns of `CLASSIFICATION`."""
    rows = list(verdicts)
    arrays = [
        pa.array([getattr(one, field.name) for one in rows], field.type) for field in CLASSIFICATION
    ]
    return pa.table(arrays, schema=CLASSIFICATION)


class _Column:
    """A column of pictures while it is judged."""

    def __init__(
        self, picture: pa.StringArray, strategy: pa.StringArray, connection: pa.StringArray
    ) -> None:
        self.picture, self.strategy, self.connection = picture, strategy, connection
        self.outcomes: dict[_Outcome, int] = {}
        self.outcome = np.full(len(picture), -1, np.int32)
        self.expiry = np.zeros(len(picture), np.int64)  # milliseconds; 0 is none
        self.rule = np.full(len(picture), -1, np.int64)  # places in RULES, where URLs were cut
        self._hashes: list[tuple[_Rows, pa.StringArray]] = []

    def judge(self) -> None:
        """Give every row its outcome."""
        first = first_bytes(self.picture)
        nothing = values_of(pc.binary_length(self.picture)) == 0
        # No blank that a browser would drop, and no http: nothing that it could load.
        foreign = (first > ord(" ")) & (first | 0x20 != ord("h"))
        self._all_alike(np.flatnonzero(nothing))
        self._all_alike(np.flatnonzero(foreign & ~nothing))
        self._defaults()
        left = np.flatnonzero(self.outcome < 0)
        urls = _cut(self.picture.take(array(left)))
        rows = left[urls.rows]
        below = _below(urls.hosts)
        at = np.flatnonzero(np.any(below[_DEEP], axis=0)[urls.code])
        path, query = _halves(urls.rest.take(array(at)))
        place = np.zeros(len(rows), np.int64)  # where the halves of each URL are
        place[at] = np.arange(len(at))
        unknown = np.ones(len(rows), np.bool_)
        for number in np.flatnonzero(below.any(axis=1)).tolist():
            rule = RULES[number]
            mine = np.flatnonzero(below[number][urls.code] & unknown)
            if rule.path != "/":
                mine = mine[_fits(path.take(array(place[mine])), rule)]
            unknown[mine] = False
            self.rule[rows[mine]] = number
            if rule.source is Source.UNRESOLVED:
                there = array(place[mine])
                self._by_query(rows[mine], query.take(there), rule.host)
                self._hashes.append((rows[mine], _hash(path.take(there))))
            elif rule.expires is not None:
                seconds = _expiry(query.take(array(place[mine])), *rule.expires)
                self.expiry[rows[mine]] = 1000 * np.maximum(seconds, 0)
                self._all_alike(rows[mine[seconds >= 0]])
                self.rule[rows[mine[seconds < 0]]] = -1
            else:
                self._all_alike(rows[mine])
        self.rule[rows[unknown]] = len(RULES)
        self._by_identity(rows[unknown])
        self._one_by_one(np.flatnonzero(self.outcome < 0))

    def dictionary_column(
        self,
        field: Callable[[_Outcome], str | None],
        where: _Mask | None = None,
        value: str | None = None,
    ) -> pa.DictionaryArray:
        """Return one field of the outcome of every row, or `value` in the rows of `where`."""
        parts = [*(field(one) for one in self.outcomes), value]
        held = dict.fromkeys(one for one in parts if one is not None)
        places = {one: place for place, one in enumerate(held)}
        outcome = self.outcome
        if where is not None:
            outcome = np.where(where, np.int32(len(parts) - 1), outcome)
        absent = np.array([one is None for one in parts])[outcome]
        code = np.array([0 if one is None else places[one] for one in parts], np.int32)[outcome]
        return pa.DictionaryArray.from_arrays(array(code, absent), texts(list(held)))

    def hashes(self) -> pa.StringArray:
        """Return the Gravatar hash of every row, or null."""
        place = np.full(len(self.picture), -1, np.int64)
        size = 0
        for rows, hashes in self._hashes:
            place[rows] = np.arange(size, size + len(hashes))
            size += len(hashes)
        arrays = [hashes for _, hashes in self._hashes] or [texts([])]
        return pa.concat_arrays(arrays).take(array(place, place < 0))

    def _ask(self, kind: str, keys: Iterable[Hashable], rows: Iterable[int]) -> _Rows:
        """Ask `classify` about one row of each key, unless it was asked about its like.

        Returns:
            Where the outcome of each stands.
        """
        known = _known.setdefault(kind, {})
        found = []
        for key, row in zip(keys, rows, strict=True):
            outcome = known.get(key)
            if outcome is None:
                outcome = _outcome(self._verdict(row))
                if len(known) >= _REMEMBERED:
                    known.clear()
                known[key] = outcome
            found.append(outcome)
        return self._places(found)

    def _places(self, outcomes: Iterable[_Outcome]) -> _Rows:
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

    def _defaults(self) -> None:
        """Judge what Auth0 gives every user of a database: the digits decide nothing."""
        begin, end = len(_DEFAULT), len(_DEFAULT) + _HASH
        places, data = text_bytes(self.picture)
        like = values_of(pc.starts_with(self.picture, _DEFAULT))
        rows = np.flatnonzero(like & (np.diff(places) > end))
        rows = rows[data[places[rows] + end] == ord("?")]
        urls = self.picture.take(array(rows)).cast(pa.binary())
        hashes = pc.binary_slice(urls, begin, end).cast(pa.string())
        lower = _LOWER[text_bytes(hashes)[1]]
        if not lower.all():
            kept = np.ones(len(rows), np.bool_)
            kept[np.flatnonzero(~lower) // _HASH] = False
            rows = rows[kept]
            urls, hashes = (one.filter(array(kept)) for one in (urls, hashes))
        self.rule[rows] = _GRAVATAR
        longest = int(np.diff(places).max(initial=end))  # without an end, Arrow 26 fails
        self._by_query(rows, pc.binary_slice(urls, end, longest), _DEFAULT)
        self._hashes.append((rows, hashes))

    def _by_query(self, rows: _Rows, query: pa.Array, kind: str) -> None:
        """Judge URLs of one kind whose query decides."""
        encoded = query.dictionary_encode()
        code = values_of(encoded.indices)
        queries, first = encoded.dictionary.to_pylist(), _firsts(code, len(encoded.dictionary))
        self.outcome[rows] = self._ask(kind, queries, rows[first].tolist())[code]

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
        keys = [(self.strategy[row].as_py(), self.connection[row].as_py()) for row in asked]
        self.outcome[rows] = self._ask("identity", keys, asked)[code]

    def _one_by_one(self, rows: _Rows) -> None:
        hashes: list[str | None] = []
        outcomes: list[_Outcome] = []
        for row in rows.tolist():
            verdict = self._verdict(row)
            outcomes.append(_outcome(verdict))
            hashes.append(verdict.gravatar_hash)
            if verdict.expires_at is not None:
                self.expiry[row] = round(verdict.expires_at.timestamp()) * 1000
        self.outcome[rows] = self._places(outcomes)
        self._hashes.append((rows, texts(hashes)))


def _outcome(verdict: Verdict) -> _Outcome:
    fallback = verdict.fallback.value if verdict.fallback else None
    return _Outcome(verdict.underlying.value, verdict.provider, fallback, verdict.evidence.value)


def _overridden(metadata_picture: pa.StringArray) -> _Mask:
    """Whether `usable_override` says so of each row."""
    held = np.flatnonzero(values_of(metadata_picture.is_valid()))
    pictures = metadata_picture.take(array(held))
    answer = np.zeros(len(pictures), np.int8) - 1
    urls = _cut(pictures)
    answer[urls.rows] = urls.secure
    for at in np.flatnonzero(answer < 0).tolist():
        answer[at] = usable(pictures[at].as_py())
    overridden = np.zeros(len(metadata_picture), np.bool_)
    overridden[held] = answer == 1
    return overridden


# From columns to the parts of URLs


def _ordinary(column: pa.StringArray) -> _Mask:
    """Whether each text is of visible ASCII without fragments and backslashes."""
    places, data = text_bytes(column)
    odd = (data - np.uint8(0x21) > 0x7E - 0x21) | (data == ord("#")) | (data == ord("\\"))
    ordinary = np.ones(len(column), np.bool_)
    ordinary[texts_with(odd, places)] = False
    return ordinary


def _cut(column: pa.StringArray) -> _Urls:
    """Cut the URLs of a column without nulls apart; those that are not plain are left out."""
    parts = pc.split_pattern(column, "/", max_splits=3)
    starts = values_of(parts.offsets).astype(np.int64)
    secure = values_of(pc.starts_with(column, "https://"))
    web = secure | values_of(pc.starts_with(column, "http://"))
    rows = np.flatnonzero(_ordinary(column) & web & (np.diff(starts) == len("s//h/r".split("/"))))
    hosts = parts.values.take(array(starts[rows] + 2)).dictionary_encode()
    code = values_of(hosts.indices).astype(np.int64)
    fine = values_of(pc.match_substring_regex(hosts.dictionary, _HOST))
    kept = fine[code]
    rows, code = rows[kept], code[kept]
    rest = parts.values.take(array(starts[rows] + 3))
    return _Urls(rows, code, hosts.dictionary, rest, secure[rows])


def _below(hosts: pa.StringArray) -> _Mask:
    """Whether each host is that of each rule or one below it: one row a rule, one column a host."""
    below = np.zeros((len(RULES), len(hosts)), np.bool_)
    for column, host in enumerate(hosts.to_pylist()):
        above = ".".join(host.rsplit(".", _LABELS)[-_LABELS:])
        while above:
            below[_OF_HOST.get(above, []), column] = True
            _, _, above = above.partition(".")
    return below


def _halves(rest: pa.StringArray) -> tuple[pa.StringArray, pa.StringArray]:
    """Return paths without their first slash, and queries, "" where there is none."""
    parts = pc.split_pattern(rest, "?", max_splits=1)
    starts = values_of(parts.offsets)
    place = array(starts[:-1] + 1, np.diff(starts) == 1)
    return parts.values.take(array(starts[:-1])), blanked(parts.values.take(place))


def _fits(path: pa.StringArray, rule: Rule) -> _Mask:
    """Whether each path, without its first slash, is one of the rule's."""
    pattern = rule.path.removeprefix("/")
    fits: _Mask = values_of(
        pc.starts_with(path, pattern)
        if re.escape(pattern) == pattern
        else pc.match_substring_regex(path, f"^(?:{pattern})")
    )
    return fits


def _firsts(code: npt.NDArray[np.int32], size: int) -> _Rows:
    """Return where each code below `size` stands first."""
    first = np.zeros(size, np.int64)
    first[code[::-1]] = np.arange(len(code))[::-1]
    return first


def _hash(path: pa.StringArray) -> pa.StringArray:
    """Return the lower-case hash of Gravatar paths: 64 hex digits, or else 32."""
    begin = len("avatar/")
    short = pc.utf8_slice_codeunits(path, begin, begin + _HASH)
    if (pc.max(pc.binary_length(path)).as_py() or 0) < begin + 2 * _HASH:
        return pc.ascii_lower(short)
    long = pc.match_substring_regex(path, f"^avatar/[0-9a-fA-F]{{{2 * _HASH}}}")
    full = pc.utf8_slice_codeunits(path, begin, begin + 2 * _HASH)
    return pc.ascii_lower(pc.if_else(long, full, short))


def _expiry(query: pa.StringArray, name: str, base: int) -> _Rows:
    """Return the seconds that a query parameter holds, 0 without it, -1 where that is unsure."""
    query = pc.binary_join_element_wise(text(""), query, text("&"))
    places, data = text_bytes(query)
    times = values_of(pc.count_substring(query, f"&{name}="))
    unsure = values_of(pc.ends_with(query, f"&{name}"))
    unsure |= values_of(pc.count_substring(query, f"&{name}&")) > 0
    # A name may be written in another way.
    coded = np.unique(texts_with((data == ord("%")) | (data == ord("+")), places))
    unsure[coded] |= values_of(pc.match_substring_regex(query.take(array(coded)), "&[^=&]*[%+]"))
    seconds = np.where((times == 0) & ~unsure, 0, -1)
    at = np.flatnonzero((times == 1) & ~unsure)
    begin = values_of(pc.find_substring(query.take(array(at)), f"&{name}=")) + len(f"&{name}=")
    place, end = places[at] + begin, places[at + 1]
    found = np.zeros(len(at), np.int64)
    numeric = place < end
    for _ in range(_LONGEST_EXPIRY):
        there = place < end
        mark = data[np.where(there, place, 0)]  # where it has ended, an `&`
        digit = _DIGITS[mark]
        going = there & (mark != ord("&"))
        numeric &= ~going | ((digit >= 0) & (digit < base))
        found = np.where(going, found * base + digit, found)
        place += going
    numeric &= (place == end) | (data[np.minimum(place, len(data) - 1)] == ord("&"))
    seconds[at] = np.where(numeric & (found > 0) & (found < _LATEST_EXPIRY), found, -1)
    return seconds
