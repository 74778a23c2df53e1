"""Columns of users in, columns of verdicts out: the same as `classify`, many users at a time.

URLs are cut at their slashes and their question mark; which rules of `RULES` can match is found
once for each distinct host. What a verdict depends on beyond the rule (a Gravatar's query, the
identity behind an unknown host) is asked of `classify` once for each distinct value, and so is each
URL that needs decoding. So both classifiers always say the same, and a new row of `RULES` is known
to both.
"""

from collections.abc import Hashable, Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from toolkit.classification.arrow import array, blanked, first_bytes, text, texts, values_of, whole
from toolkit.classification.schema import CLASSIFICATION, ENCODED, completed
from toolkit.classification.sources import RULES, Evidence, Source, Verdict, classify
from toolkit.classification.sources import usable_override as usable

_Mask = npt.NDArray[np.bool_]
_Rows = npt.NDArray[np.int64]

# URLs that need no decoding: a lower-case host without port, credentials and last dot, a slash, and
# visible ASCII without fragments and backslashes.
_PLAIN = r'^https?://[a-z0-9.-]*[a-z0-9-]/[!-"$-\[\]-~]*$'
# What Auth0 gives every user of a database, and so most of all pictures.
# Fact: Auth0 docs, "Change User Pictures", and its SDKs' examples.
_DEFAULT = r"^https://s\.gravatar\.com/avatar/[0-9a-f]{32}\?"
_BEGIN = len("https://s.gravatar.com/avatar/")
_END = _BEGIN + 32
_HASH = r"^avatar/(?P<hash>[0-9a-fA-F]{64}|[0-9a-fA-F]{32})"
_LATEST_EXPIRY = 2**32  # seconds; what is later is asked of `classify`
_REMEMBERED = 65_536
# Where in `RULES` the rules of a host stand, the one that knows Gravatars, and those that look at
# more of a URL than its host.
_OF_HOST: dict[str, list[int]] = {}
for _place, _rule in enumerate(RULES):
    _OF_HOST.setdefault(_rule.host, []).append(_place)
_GRAVATAR = next(n for n, rule in enumerate(RULES) if rule.source is Source.UNRESOLVED)
_LABELS = max(rule.host.count(".") for rule in RULES) + 1  # that a rule looks at
_DEEP = [n for n, rule in enumerate(RULES) if rule.path != "/" or rule.expires or n == _GRAVATAR]


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
) -> pa.Table:
    """Classify users as `toolkit.classification.sources.classify` would one by one.

    Returns:
        One row a user with the columns of `toolkit.classification.schema.CLASSIFICATION`.
    """
    verdicts = _encoded(picture, metadata_picture, strategy, connection)
    return pa.table(verdicts).cast(CLASSIFICATION)


def with_verdicts(profiles: pa.Table) -> pa.Table:
    """Append the classification to the columns of `PROFILE`; returns the columns of `ENCODED`."""
    deciding = ("picture", "metadata_picture", "strategy", "connection")
    verdicts = _encoded(*(whole(profiles[name]) for name in deciding))
    known = dict(zip(profiles.column_names, profiles.columns, strict=True))
    return completed(pa.table(known | verdicts), ENCODED).cast(ENCODED)


def _encoded(
    picture: pa.Array, metadata_picture: pa.Array, strategy: pa.Array, connection: pa.Array
) -> dict[str, pa.Array]:
    """Classify users; columns with few distinct values are dictionary-encoded."""
    column = _Column(blanked(picture), strategy, connection)
    overridden = _overridden(metadata_picture)
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
        # It begins neither with a blank, which browsers drop, nor with an h: no http(s) URL.
        foreign = (first > ord(" ")) & (first | 0x20 != ord("h"))
        self._all_alike(np.flatnonzero(nothing))
        self._all_alike(np.flatnonzero(foreign & ~nothing))
        self._defaults()
        self._by_rules(np.flatnonzero(self.outcome < 0))
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

    def _defaults(self) -> None:
        """Judge what Auth0 gives every user of a database: only the query decides."""
        rows = np.flatnonzero(values_of(pc.match_substring_regex(self.picture, _DEFAULT)))
        urls = self.picture.take(array(rows)).cast(pa.binary())  # bytes are cut ten times as fast
        self.rule[rows] = _GRAVATAR
        # Without an end, Arrow 26 fails.
        self._by_query(rows, pc.binary_slice(urls, _END, 1 << 30), "s.gravatar.com")
        self._hashes.append((rows, pc.binary_slice(urls, _BEGIN, _END).cast(pa.string())))

    def _by_rules(self, left: _Rows) -> None:
        """Judge URLs that need no decoding."""
        plain = values_of(pc.match_substring_regex(self.picture.take(array(left)), _PLAIN))
        rows = left[plain]
        parts = pc.split_pattern(self.picture.take(array(rows)), "/", max_splits=3).flatten()
        begins = 4 * np.arange(len(rows))  # of "https:", "", the host and the rest
        hosts = parts.take(array(begins + 2)).dictionary_encode()
        host = values_of(hosts.indices)
        below = _below(hosts.dictionary)
        at = np.flatnonzero(np.any(below[_DEEP], axis=0)[host])
        halves = pc.split_pattern(parts.take(array(begins[at] + 3)), "?", max_splits=1)
        starts = values_of(halves.offsets)
        path = halves.values.take(array(starts[:-1]))  # without its first slash
        query = blanked(halves.values.take(array(starts[:-1] + 1, np.diff(starts) == 1)))
        place = np.zeros(len(rows), np.int64)  # where the halves of each URL are
        place[at] = np.arange(len(at))
        unknown = np.ones(len(rows), np.bool_)
        for number in np.flatnonzero(below.any(axis=1)).tolist():
            rule = RULES[number]
            mine = np.flatnonzero(below[number][host] & unknown)
            if rule.path != "/":
                pattern = f"^(?:{rule.path.removeprefix('/')})"
                paths = path.take(array(place[mine]))
                mine = mine[values_of(pc.match_substring_regex(paths, pattern))]
            unknown[mine] = False
            there = array(place[mine])
            known = rows[mine]
            self.rule[known] = number
            if rule.source is Source.UNRESOLVED:
                self._by_query(known, query.take(there), rule.host)
                found = pc.struct_field(pc.extract_regex(path.take(there), _HASH), [0])
                self._hashes.append((known, pc.ascii_lower(found)))
            elif rule.expires is not None:
                seconds = _expiry(query.take(there), *rule.expires)
                self.expiry[known] = 1000 * np.maximum(seconds, 0)
                self.rule[known[seconds < 0]] = -1
                self._all_alike(known[seconds >= 0])
            else:
                self._all_alike(known)
        self.rule[rows[unknown]] = len(RULES)
        self._by_identity(rows[unknown])

    def _by_query(self, rows: _Rows, query: pa.Array, kind: str) -> None:
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


def _overridden(metadata_picture: pa.StringArray) -> _Mask:
    """Whether `usable_override` says so of each row."""
    pictures = blanked(metadata_picture)
    plain = values_of(pc.match_substring_regex(pictures, _PLAIN))
    overridden: _Mask = plain & values_of(pc.starts_with(pictures, "https"))
    held = values_of(pc.binary_length(pictures)) > 0
    for at in np.flatnonzero(held & ~plain).tolist():
        overridden[at] = usable(pictures[at].as_py())
    return overridden


def _below(hosts: pa.StringArray) -> _Mask:
    """Whether each host is that of each rule or one below it: one row a rule, one column a host."""
    below = np.zeros((len(RULES), len(hosts)), np.bool_)
    for column, host in enumerate(hosts.to_pylist()):
        above = ".".join(host.rsplit(".", _LABELS)[-_LABELS:])
        while above:
            below[_OF_HOST.get(above, []), column] = True
            _, _, above = above.partition(".")
    return below


def _expiry(query: pa.StringArray, name: str, base: int) -> _Rows:
    """Return the seconds that a query parameter holds, 0 without it, -1 where that is unsure."""
    query = pc.binary_join_element_wise(text("&"), query, text("&"), text(""))
    times = values_of(pc.count_substring(query, f"&{name}="))
    # A name without a value, or one that may be written in another way.
    unsure = values_of(pc.match_substring_regex(query, f"&{name}&|&[^=&]*[%+]"))
    digits = "0-9a-fA-F" if base == 16 else "0-9"  # noqa: PLR2004 - the two bases of rules
    pattern = f"&{name}=(?P<digits>[{digits}]{{1,10}})&"
    found = pc.struct_field(pc.extract_regex(query, pattern), [0])
    seconds = np.array([int(one, base) if one else -1 for one in found.to_pylist()], np.int64)
    sure = ~unsure & (times == 1) & (seconds > 0) & (seconds < _LATEST_EXPIRY)
    return np.where(sure, seconds, np.where(unsure | (times > 0), -1, 0))
