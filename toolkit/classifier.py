"""Columns of users in, columns of verdicts out: `toolkit.picture.classify`, many users at a time.

No rule stands here. URLs are cut at their slashes and their question mark; which rules of
`RULES` can match is found once for each distinct host, and what a verdict depends on beyond the
rule (a Gravatar's query, the identity behind an unknown host) is asked of `classify` once for
each distinct value. A URL that is not plainly made of ordinary characters is given to `classify`
as it is. So both classifiers always say the same, and a new row of `RULES` is known to both.
"""

from collections.abc import Callable, Hashable, Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from toolkit.arrays import array, text, texts, values_of
from toolkit.columns import CLASSIFICATION, SNAPSHOT
from toolkit.picture import RULES, Evidence, Fallback, Rule, Source, Verdict, classify
from toolkit.picture import usable_override as usable

_Mask = npt.NDArray[np.bool_]
_Rows = npt.NDArray[np.int64]

# Names that need no decoding: lower case, no port, no credentials, no dot at the end.
_HOST = r"^[a-z0-9.-]*[a-z0-9-]$"
_DIGITS = np.full(256, -1, np.int64)
for _value, _digit in enumerate("0123456789abcdef"):
    _DIGITS[[ord(_digit), ord(_digit.upper())]] = _value
_LONGEST_EXPIRY = 10  # digits
_LATEST_EXPIRY = 2**32  # seconds; what is later is asked of `classify`
_REMEMBERED = 65_536


class _Outcome(NamedTuple):
    """What many verdicts have in common."""

    source: Source
    provider: str | None
    fallback: Fallback | None
    evidence: Evidence


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
_known: dict[Hashable, _Outcome] = {}


def classified(
    picture: pa.StringArray,
    metadata_picture: pa.StringArray,
    strategy: pa.StringArray,
    connection: pa.StringArray,
) -> pa.Table:
    """Classify users as `toolkit.picture.classify` would one by one.

    Args:
        picture: the root `picture` of each user, null where there is none.
        metadata_picture: `user_metadata.picture`.
        strategy: the primary identity's provider.
        connection: the primary identity's connection.

    Returns:
        One row a user with the columns of `toolkit.columns.CLASSIFICATION`.
    """
    column = _Column(picture.fill_null(text("")), strategy, connection)
    column.judge()
    overridden = _overridden(metadata_picture)
    underlying = column.text(lambda one: one.source)
    arrays = {
        "source": pc.if_else(array(overridden), text(Source.METADATA.value), underlying),
        "underlying": underlying,
        "provider": column.text(lambda one: one.provider),
        "fallback": column.text(lambda one: one.fallback),
        "evidence": pc.if_else(
            array(overridden), text(Evidence.URL.value), column.text(lambda one: one.evidence)
        ),
        "expires_at": array(column.expiry, column.expiry == 0).cast(
            CLASSIFICATION.field("expires_at").type
        ),
        "gravatar_hash": column.hashes(),
    }
    return pa.table([arrays[name] for name in CLASSIFICATION.names], schema=CLASSIFICATION)


def with_verdicts(profiles: pa.Table) -> pa.Table:
    """Append the classification to a table with the columns of `toolkit.columns.PROFILE`."""
    deciding = ("picture", "metadata_picture", "strategy", "connection")
    verdicts = classified(*(_whole(profiles[name]) for name in deciding))
    return pa.table([*profiles.columns, *verdicts.columns], schema=SNAPSHOT)


def alike(picture: pa.StringArray) -> tuple[_Rows, _Rows]:
    """Tell which pictures differ in nothing that rules look at, but for queries of Gravatars.

    Args:
        picture: URLs; null where there is none.

    Returns:
        For each row the place of its rule in `RULES`, `len(RULES)` where no rule knows the host,
        -1 where only `classify` can tell; and when it expires, in milliseconds, 0 for never.
    """
    nothing = pa.nulls(len(picture), pa.string())
    column = _Column(picture.fill_null(text("")), nothing, nothing)
    column.judge()
    return column.rule, column.expiry


def tabulated_verdicts(verdicts: Iterable[Verdict]) -> pa.Table:
    """Put verdicts into a table: one row each, the columns of `toolkit.columns.CLASSIFICATION`."""
    rows = list(verdicts)
    arrays = [
        pa.array([getattr(one, field.name) for one in rows], field.type) for field in CLASSIFICATION
    ]
    return pa.table(arrays, schema=CLASSIFICATION)


def _whole(column: pa.ChunkedArray) -> pa.StringArray:
    return (
        column.chunk(0)
        if column.num_chunks == 1
        else pa.concat_arrays(column.chunks or [pa.nulls(0, column.type)])
    )


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
        urls = _cut(self.picture)
        below = [_below(urls.hosts, rule) for rule in RULES]
        looked_into = [hosts for rule, hosts in zip(RULES, below, strict=True) if _is_deep(rule)]
        at = np.flatnonzero(np.any(looked_into, axis=0)[urls.code])
        path, query = _halves(urls.rest.take(array(at)))
        place = np.zeros(len(urls.rows), np.int64)  # where the halves of each URL are
        place[at] = np.arange(len(at))
        unknown = np.ones(len(urls.rows), np.bool_)
        for number, (rule, hosts) in enumerate(zip(RULES, below, strict=True)):
            mine = np.flatnonzero(hosts[urls.code] & unknown)
            if rule.path != "/":
                fits = pc.match_substring_regex(path.take(array(place[mine])), f"^(?:{rule.path})")
                mine = mine[values_of(fits)]
            unknown[mine] = False
            self.rule[urls.rows[mine]] = number
            if rule.source is Source.UNRESOLVED:
                there = array(place[mine])
                self._gravatars(rule, urls.rows[mine], path.take(there), query.take(there))
            elif rule.expires is not None:
                seconds = _expiry(query.take(array(place[mine])), *rule.expires)
                self.expiry[urls.rows[mine]] = 1000 * np.maximum(seconds, 0)
                self._all_alike(urls.rows[mine[seconds >= 0]])
                self.rule[urls.rows[mine[seconds < 0]]] = -1
            else:
                self._all_alike(urls.rows[mine])
        self.rule[urls.rows[unknown]] = len(RULES)
        self._by_identity(urls.rows[unknown])
        self._one_by_one(np.flatnonzero(self.outcome < 0))

    def text(self, part: Callable[[_Outcome], str | None]) -> pa.StringArray:
        """Return one part of the outcome of every row."""
        return texts([part(one) for one in self.outcomes]).take(array(self.outcome))

    def hashes(self) -> pa.StringArray:
        """Return the Gravatar hash of every row, or null."""
        place = np.full(len(self.picture), -1, np.int64)
        size = 0
        for rows, hashes in self._hashes:
            place[rows] = np.arange(size, size + len(hashes))
            size += len(hashes)
        arrays = [hashes for _, hashes in self._hashes] or [texts([])]
        return pa.concat_arrays(arrays).take(array(place, place < 0))

    def _ask(self, row: int, key: Hashable = None) -> int:
        """Ask `classify` about one row, unless it was asked about its like."""
        outcome = _known.get(key) if key else None
        if outcome is None:
            outcome = _outcome(self._verdict(row))
            if key:
                if len(_known) >= _REMEMBERED:
                    _known.clear()
                _known[key] = outcome
        return self.outcomes.setdefault(outcome, len(self.outcomes))

    def _verdict(self, row: int) -> Verdict:
        return classify(
            self.picture[row].as_py(),
            strategy=self.strategy[row].as_py(),
            connection=self.connection[row].as_py(),
        )

    def _all_alike(self, rows: _Rows) -> None:
        if len(rows):
            self.outcome[rows] = self._ask(int(rows[0]))

    def _gravatars(
        self, rule: Rule, rows: _Rows, path: pa.StringArray, query: pa.StringArray
    ) -> None:
        """Judge URLs whose query decides, and note their hashes."""
        encoded = query.dictionary_encode()
        code = values_of(encoded.indices)
        queries, first = encoded.dictionary.to_pylist(), _firsts(code, len(encoded.dictionary))
        asked = [
            self._ask(int(rows[at]), ("query", rule.host, one))
            for one, at in zip(queries, first, strict=True)
        ]
        self.outcome[rows] = np.array(asked, np.int32)[code]
        self._hashes.append((rows, _hash(path)))

    def _by_identity(self, rows: _Rows) -> None:
        """Judge URLs of hosts that no rule knows: the identity alone decides."""
        strategy, connection = (
            column.take(array(rows)).dictionary_encode(null_encoding="encode")
            for column in (self.strategy, self.connection)
        )
        width = len(connection.dictionary)
        both = values_of(strategy.indices).astype(np.int64) * width + values_of(connection.indices)
        _, first, code = np.unique(both, return_index=True, return_inverse=True)
        asked = [
            self._ask(row, ("identity", self.strategy[row].as_py(), self.connection[row].as_py()))
            for row in rows[first].tolist()
        ]
        self.outcome[rows] = np.array(asked, np.int32)[code]

    def _one_by_one(self, rows: _Rows) -> None:
        hashes: list[str | None] = []
        for row in rows.tolist():
            verdict = self._verdict(row)
            outcome = _outcome(verdict)
            self.outcome[row] = self.outcomes.setdefault(outcome, len(self.outcomes))
            hashes.append(verdict.gravatar_hash)
            if verdict.expires_at is not None:
                self.expiry[row] = round(verdict.expires_at.timestamp()) * 1000
        self._hashes.append((rows, texts(hashes)))


def _outcome(verdict: Verdict) -> _Outcome:
    return _Outcome(verdict.underlying, verdict.provider, verdict.fallback, verdict.evidence)


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


def text_bytes(column: pa.StringArray) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Return where the texts of a column begin and end, and their bytes; a null may hide some."""
    _, offsets, data = column.buffers()
    if not len(column):
        return np.zeros(1, np.int32), np.zeros(0, np.uint8)
    places = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
    whole = np.frombuffer(data, np.uint8) if data else np.zeros(0, np.uint8)
    return places - places[0], whole[places[0] : places[-1]]


def first_bytes(column: pa.StringArray) -> npt.NDArray[np.uint8]:
    """Return the first byte of each text of a column; 0 where it is empty."""
    places, data = text_bytes(column)
    first = np.zeros(len(column), np.uint8)
    there = np.diff(places) > 0
    first[there] = data[places[:-1][there]]
    return first


def _ordinary(column: pa.StringArray) -> _Mask:
    """Whether each text is of visible ASCII without fragments and backslashes."""
    places, data = text_bytes(column)
    odd = (data - np.uint8(0x21) > 0x7E - 0x21) | (data == ord("#")) | (data == ord("\\"))
    ordinary = np.ones(len(column), np.bool_)
    if odd.any():
        ordinary[np.searchsorted(places, np.flatnonzero(odd), side="right") - 1] = False
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


def _is_deep(rule: Rule) -> bool:
    """Whether the rule looks at more of a URL than the host."""
    return rule.path != "/" or rule.expires is not None or rule.source is Source.UNRESOLVED


def _below(hosts: pa.StringArray, rule: Rule) -> _Mask:
    """Whether each host is the rule's or one below it."""
    below = pc.or_(pc.equal(hosts, text(rule.host)), pc.ends_with(hosts, "." + rule.host))
    mask: _Mask = values_of(below)
    return mask


def _halves(rest: pa.StringArray) -> tuple[pa.StringArray, pa.StringArray]:
    """Return paths, and queries, "" where there is none."""
    parts = pc.split_pattern(rest, "?", max_splits=1)
    starts = values_of(parts.offsets)
    path = pc.binary_join_element_wise(text("/"), parts.values.take(array(starts[:-1])), text(""))
    place = array(starts[:-1] + 1, np.diff(starts) == 1)
    return path, parts.values.take(place).fill_null(text(""))


def _firsts(code: npt.NDArray[np.int32], size: int) -> list[int]:
    """Return where each code below `size` stands first."""
    first = np.zeros(size, np.int64)
    first[code[::-1]] = np.arange(len(code))[::-1]
    return first.tolist()


def _hash(path: pa.StringArray) -> pa.StringArray:
    """Return the lower-case hash of Gravatar paths: 64 hex digits, or else 32."""
    begin = len("/avatar/")
    short = pc.utf8_slice_codeunits(path, begin, begin + 32)
    if (pc.max(pc.binary_length(path)).as_py() or 0) < begin + 64:
        return pc.ascii_lower(short)
    long = pc.match_substring_regex(path, "^/avatar/[0-9a-fA-F]{64}")
    return pc.ascii_lower(pc.if_else(long, pc.utf8_slice_codeunits(path, begin, begin + 64), short))


def _expiry(query: pa.StringArray, name: str, base: int) -> _Rows:
    """Return the seconds that a query parameter holds, 0 without it, -1 where that is unsure."""
    once = values_of(pc.count_substring_regex(query, f"(?:^|&){name}="))
    bare = values_of(pc.match_substring_regex(query, f"(?:^|&){name}(?:&|$)"))
    coded = values_of(pc.match_substring_regex(query, "(?:^|&)[^=&]*[%+]"))
    digits = "0-9" if base == 10 else "0-9a-fA-F"  # noqa: PLR2004 - the two bases that rules know
    value = pc.extract_regex(
        query, f"(?:^|&){name}=(?P<value>[{digits}]{{1,{_LONGEST_EXPIRY}}})(?:&|$)"
    )
    seconds = np.full(len(query), -1, np.int64)
    plain = ~bare & ~coded
    seconds[plain & (once == 0)] = 0
    at = np.flatnonzero(plain & (once == 1) & values_of(value.is_valid()))
    padded = pc.ascii_lpad(value.field("value").take(array(at)), _LONGEST_EXPIRY, "0")
    _, data = text_bytes(padded)
    powers = base ** np.arange(_LONGEST_EXPIRY - 1, -1, -1)
    found = _DIGITS[data.reshape(-1, _LONGEST_EXPIRY)] @ powers
    seconds[at] = np.where((found > 0) & (found < _LATEST_EXPIRY), found, -1)
    return seconds
