"""JSON values one after another, in any layout: pretty, compact, in arrays of any size.

Python's decoder reads each value, so it means what it means on a line of NDJSON. Memory holds the
value that is being read: an element of an array, not the array.
"""

import codecs
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from toolkit.collection.exports.values_by_path import placed

# No profile is nearly as long; without a limit, a file of one line would have to fit in memory.
# So many characters a value may have that is read at once. Of a longer object the arrays are read
# element by element, because it may be a page with users.
LONGEST: Final = 32 * 1024 * 1024
_BLANK = re.compile(r"[ \t\r\n]*")
# Between values commas may stand, where somebody took off the brackets of an array, and the
# separators of RFC 7464.
_BETWEEN = re.compile(r"[ \t\r\n,\x1e]*")
# The end of a text may end inside of a word, such as `-Infinity`, or of an escape.
_WORD = 12
# After damage: where records may begin, in a page whose other values say nothing.
_TO_NEXT = re.compile(r"[^\[{]*")
_BEGIN = re.compile(r"[\[,\n\r}\]][ \t\r\n]*(?={)")
_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"(\s*:)?|[{}\[\]]')
# What may stand right after a value.
_AFTER = re.compile(r"[ \t\r\n\x1e,:\[\]{}]|\Z")
_ENOUGH = 1000  # keys of records
_SEARCHED = 65_536  # characters
_NO_UTF8 = re.compile("[\udc80-\udcff]")

_decode = json.JSONDecoder().raw_decode

# A text, or a comma before a closing bracket, which DuckDB accepts.
_COMMA = re.compile(rb'("[^"\\]*(?:\\.[^"\\]*)*")|,(?=\s*[}\]])', re.DOTALL)
DAMAGED: Final = object()
"""Stands for a record that cannot be read."""


class _DamagedError(ValueError):
    """The value at the place is no JSON."""


class _CutError(_DamagedError):
    """The text ends inside of the value."""


class _TooLongError(_DamagedError):
    """The value is longer than what is read at once."""


class Documents:
    """Reads values from blocks of UTF-8; elements of arrays are records of their own.

    Args:
        blocks: the text.
        holds_users: whether an object is a user, or a page with users.

    Attributes:
        is_cut: whether the text ends inside of a value or an array.
    """

    def __init__(
        self, blocks: Iterator[bytes], holds_users: Callable[[dict[str, Any]], bool]
    ) -> None:
        self.is_cut = False
        self._blocks = blocks
        self._holds_users = holds_users
        # Bytes that are no UTF-8 become lone surrogates, which JSON holds as escapes only.
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._text, self._at, self._ended = "", 0, False
        self._keys: set[str] = set()  # of the records so far
        self._is_damaged = False

    def __iter__(self) -> Iterator[object]:
        """Yield each record, or `DAMAGED`."""
        while self._skip(_TO_NEXT if self._is_damaged else _BETWEEN):
            yield from self._records()

    def _records(self) -> Iterator[object]:
        """Yield the records of the value that begins here: an array, or one record."""
        if self._text[self._at] == "[":
            yield from self._elements()
            return
        try:
            value, end = self._value()
            if self._text.startswith(":", end):
                raise _DamagedError  # noqa: TRY301 - a key outside of an object
        except _DamagedError as damage:
            known = self._keys or self._begun()
            try:
                yield from self._members(damage)
            except _DamagedError as error:
                yield from self._after_damage(error, known)
        else:
            text = self._text[self._at : end]
            self._at = end
            yield value if text.isascii() or not _NO_UTF8.search(text) else DAMAGED
            if isinstance(value, dict) and len(self._keys) < _ENOUGH:
                self._keys.update(value)

    def _elements(self) -> Iterator[object]:
        """Yield the elements of an array, also of arrays in it."""
        depth = 0
        while following := self._skip(_BETWEEN):
            if following in "[]":
                depth += 1 if following == "[" else -1
                self._at += 1
                if not depth:
                    return
            else:
                yield from self._records()
        self.is_cut = self.is_cut or not self._is_damaged

    def _members(self, damage: _DamagedError) -> Iterator[object]:
        """Yield the users of a page that is too long, or damaged, each as a page with one user.

        If it is no page, tell the loss; if it is no object, raise the error.
        """
        if not self._text.startswith("{", self._at):
            raise damage
        known: dict[str, Any] = {}
        is_told = False
        self._at += 1
        while (following := self._skip(_BETWEEN)) != "}":
            key = self._taken() if following == '"' else None
            following = self._skip(_BLANK)
            if not isinstance(key, str) or following != ":":
                raise _DamagedError if following else _CutError
            self._at += 1
            following = self._skip(_BLANK)
            is_user = self._holds_users(known)
            try:
                known[key] = self._taken()
            except _DamagedError as error:
                for one in self._elements() if following == "[" else self._members(error):
                    page = {**known, key: [one] if following == "[" else one}
                    if one is DAMAGED or (not is_user and self._holds_users(page)):
                        is_told = True
                        yield one if one is DAMAGED else page
        self._at += 1
        if self._at == len(self._text):
            self._more()
        if not _AFTER.match(self._text, self._at):
            raise _DamagedError
        if not is_told:
            yield DAMAGED

    def _taken(self) -> Any:  # noqa: ANN401 - any JSON
        value, self._at = self._value()
        return value

    def _value(self) -> tuple[Any, int]:
        """Return the value that begins here, and where it ends."""
        while True:
            try:
                value, end = _decode(self._text, self._at)
            except json.JSONDecodeError as error:
                is_open = error.msg.startswith("Unterminated string")
                if not is_open and error.pos + _WORD < len(self._text):
                    raise _DamagedError from error
                if self._ended:
                    raise _CutError from error
            except (ValueError, RecursionError) as error:
                raise _DamagedError from error
            else:
                if end < len(self._text) or self._ended:  # else a number may go on
                    if not _AFTER.match(self._text, end):
                        raise _DamagedError
                    return value, end
            if len(self._text) - self._at > LONGEST:
                raise _TooLongError
            self._more()

    def _skip(self, what: re.Pattern[str]) -> str:
        """Skip characters; return the next one, or "" at the end."""
        while True:
            if match := what.match(self._text, self._at):
                self._at = match.end()
            if self._at < len(self._text) or self._ended:
                return self._text[self._at : self._at + 1]
            self._more()

    def _more(self) -> None:
        """Take at least as much text again, so that decoding again and again costs little."""
        rest = self._text[self._at :]
        parts, wanted = [rest], len(rest) or 1
        while wanted > 0 and not self._ended:
            block = next(self._blocks, b"")
            self._ended = not block
            parts.append(self._decoder.decode(block, final=self._ended))
            wanted -= len(parts[-1])
        self._text, self._at = "".join(parts), 0

    def _begun(self) -> set[str]:
        """Return the keys of an object that may be damaged."""
        keys: set[str] = set()
        depth = 0
        for match in _TOKEN.finditer(self._text, self._at, self._at + _SEARCHED):
            if match[0] in "{[":
                depth += 1
            elif match[0] in "}]":
                depth -= 1
                if not depth:
                    break
            elif match[2] and depth == 1:
                keys.add(match[1])
        return keys

    def _after_damage(self, error: Exception, known: set[str]) -> Iterator[object]:
        """Tell the loss, and go on to the next object that looks like the records before it.

        An object inside of a user, such as an identity, has other keys.
        """
        self._is_damaged = True
        if isinstance(error, _CutError):
            self.is_cut = True
        else:
            yield DAMAGED
        while True:
            match = _BEGIN.search(self._text, self._at)
            if match is None:
                if self._ended:
                    self._at = len(self._text)
                    return
                self._at = max(self._at, len(self._text.rstrip(" \t\r\n")) - 1)
                self._more()
                continue
            self._at = match.end()
            try:
                value, _ = self._value()
            except _TooLongError:
                return
            except _DamagedError:
                continue
            if len(known & value.keys()) * 2 >= len(value):
                return


def record_of(line: bytes) -> Any:  # noqa: ANN401 - any JSON
    """Return the value of a line of NDJSON; raise ValueError or RecursionError if it is none.

    A comma before a closing bracket changes nothing, as in DuckDB.
    """
    if len(line) > LONGEST:
        raise ValueError("too long")
    try:
        value = json.loads(line.decode())
    except json.JSONDecodeError:
        value = json.loads(_COMMA.sub(rb"\1", line).decode())
    return placed(value) if isinstance(value, dict) else value
