"""The search syntax of `GET /api/v2/users`, a subset of Lucene's, made into conditions of SQL.

Facts: Auth0 docs, "User Search Query Syntax" (fields, ranges, wildcards, existence); ranges on
metadata answer "operator 'less or equal' is not supported" (measured by a public client of the
API). Where Auth0 says nothing the parser refuses, so that a client which works here works there
too: `+`, `?`, boosts, fuzzy terms and terms without a field are errors.
"""

import re
from dataclasses import dataclass

from toolkit.sandbox.directory.fields import Field, Kind, field_named, identifier, searchable, span

LONGEST_QUERY = 8000
_MOST_CLAUSES = 200
_DEEPEST_NESTING = 40
_MOST_STARS = 2  # more of them make matching slow
_SHORTEST_SUFFIX = 3
_SPACE = " \t\r\n\u3000"
_NUMBER = re.compile(r"-?\d{1,15}", re.ASCII)
_FLAGS = {"true": 1, "false": 0}
_SEVERAL = {Kind.FACET, Kind.METADATA}


def _token(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"[{_SPACE}]*(?:{pattern})", re.DOTALL)


# An operator in letters is a word of its own; a backslash takes the next character as it is.
_ALONE = rf'(?=[{_SPACE}("]|\Z)'
_AND, _OR = _token(rf"AND{_ALONE}|&&"), _token(rf"OR{_ALONE}|\|\|")
_NOT, _TO = _token(rf"NOT{_ALONE}|-|!"), _token(f"TO{_ALONE}")
_OPEN, _CLOSE, _END = _token(r"\("), _token(r"\)"), _token(r"\)|\Z")
_FROM, _UNTIL = _token(r"([\[{])"), _token(r"([\]}])")
_CHARACTERS = rf'((?![+<>/])(?:[^{_SPACE}()\[\]{{}}":^~\\]|\\.)+)'
_WORD, _NAME = _token(_CHARACTERS), _token(rf"{_CHARACTERS}[{_SPACE}]*:")
_QUOTED = _token(r'"((?:[^"\\]|\\.)*)"')
_LIMIT = _token(rf'((?!")(?:[^{_SPACE}\]}}\\]|\\.)+)')
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_PIECE = re.compile(r"\\(.)|(\*)|([^\\*]+)", re.DOTALL)


class QueryError(ValueError):
    """The query cannot be understood, or asks for something that is not supported."""


@dataclass(frozen=True)
class Condition:
    """SQL that can stand after WHERE. Names of columns come from a fixed table."""

    sql: str
    parameters: tuple[str | int, ...] = ()
    negates: bool = False  # whether it is the negation of another one


ALL = Condition("1")
"""The condition that every user meets."""


def condition(text: str) -> Condition:
    """Return the condition that a query string stands for; a blank query holds for all.

    Raises:
        QueryError: If the query is not understood or asks for what Auth0 does not support; the
            message says where and why.
    """
    if not text.strip():
        return ALL
    if len(text) > LONGEST_QUERY:
        raise QueryError("the query is too long")
    return _Parser(text).parse()


class _Parser:
    """Recursive descent over the characters; depth and number of clauses are bounded."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._clauses = 0

    def parse(self) -> Condition:
        found = self._any(None)
        if _CLOSE.match(self._text, self._at):
            raise self._unexpected()
        return found

    # --- clauses; the field is the one before the parenthesis that they are in ---

    def _any(self, field: Field | None) -> Condition:
        """Clauses joined by OR, or by nothing (Lucene's default operator is OR)."""
        clauses, is_implicit = [self._all(field)], [True]
        while not _END.match(self._text, self._at):
            is_implicit.append(not self._take(_OR))
            clauses.append(self._all(field))
        if not any(is_implicit[1:]):
            return _join(" OR ", clauses)
        # As in Lucene, `a -b` means a without b, not "a, or anything but b".
        pairs = zip(clauses, is_implicit, strict=True)
        banned = [clause for clause, implicit in pairs if implicit and clause.negates]
        wanted = [clause for clause in clauses if clause not in banned]
        return _join(" AND ", [_join(" OR ", wanted), *banned] if wanted else banned)

    def _all(self, field: Field | None) -> Condition:
        """Clauses joined by AND."""
        clauses = [self._one(field)]
        while self._take(_AND):
            clauses.append(self._one(field))
        return _join(" AND ", clauses)

    def _one(self, field: Field | None) -> Condition:
        """One clause, perhaps negated."""
        if self._take(_NOT):
            self._deeper()
            clause = self._one(field)
            self._depth -= 1
            # IS NOT TRUE and not NOT: users without the field belong to the complement.
            return Condition(f"({clause.sql}) IS NOT TRUE", clause.parameters, negates=True)
        if name := self._take(_NAME):
            if name[1] == "_exists_":
                self._count()
                return _exists(_named(self._text_or_word()))
            field = _named(_parts(name[1]))
        if self._take(_OPEN):
            self._deeper()
            clause = self._any(field)
            if not self._take(_CLOSE):
                raise QueryError("a parenthesis is not closed")
            self._depth -= 1
            return clause
        if field is None:
            raise QueryError(f"a field name is needed before position {self._at}")
        return self._value(field)

    def _value(self, field: Field) -> Condition:
        self._count()
        if opened := self._take(_FROM):
            return self._range(field, with_low=opened[1] == "[")
        return _matching(field, self._text_or_word())

    def _range(self, field: Field, *, with_low: bool) -> Condition:
        """The field's value lies between two ends, of which a star is an open one."""
        low = self._end()
        if not self._take(_TO):
            raise QueryError("a range needs TO between its two ends")
        high = self._end()
        closed = self._take(_UNTIL)
        if not closed:
            raise QueryError("a range is not closed")
        if field.kind in _SEVERAL:
            raise QueryError("operator 'less or equal' is not supported")
        if field.kind in {Kind.ID, Kind.FLAG}:
            raise QueryError("ranges are not supported on this field")
        ends = []
        if low is not None:
            first, last = _bounds(field, low)
            end = _compared(field, ">= ?", first) if with_low else _compared(field, "> ?", last)
            ends.append(end)
        if high is not None:
            first, last = _bounds(field, high)
            with_high = closed[1] == "]"
            end = _compared(field, "<= ?", last) if with_high else _compared(field, "< ?", first)
            ends.append(end)
        return _join(" AND ", ends) if ends else _exists(field)

    def _end(self) -> str | None:
        """One end of a range; unlike a term it may contain colons unescaped."""
        end = self._take(_LIMIT)
        if end and end[1] == "*":
            return None
        end = end or self._take(_QUOTED)
        if not end:
            raise QueryError("a range has an empty end")
        return _ESCAPED.sub(r"\1", end[1])

    def _text_or_word(self) -> list[str]:
        """A quoted text, or the literal parts of a word."""
        if quoted := self._take(_QUOTED):
            return [_ESCAPED.sub(r"\1", quoted[1])]
        word = self._take(_WORD)
        if not word or self._text.startswith(("^", "~", "\\"), self._at):
            raise self._unexpected()
        if word[1] in {"AND", "OR", "NOT", "&&", "||"}:
            raise QueryError("an operator stands where a term should")
        return _parts(word[1])

    def _take(self, token: re.Pattern[str]) -> re.Match[str] | None:
        """Take the token if it stands here, perhaps after space."""
        match = token.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return match

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > _DEEPEST_NESTING:
            raise QueryError("the query is nested too deeply")

    def _count(self) -> None:
        self._clauses += 1
        if self._clauses > _MOST_CLAUSES:
            raise QueryError("the query has too many clauses")

    def _unexpected(self) -> QueryError:
        rest = self._text[self._at :].lstrip(_SPACE)
        if not rest:
            return QueryError("the query ends too early")
        if rest.startswith('"'):
            return QueryError("a quotation mark is not closed")
        return QueryError(f"unexpected character at position {len(self._text) - len(rest)}")


def _parts(word: str) -> list[str]:
    """Return a word's literal parts, split at its unescaped stars."""
    parts = [""]
    for escaped, star, plain in _PIECE.findall(word):
        if "?" in plain:
            raise QueryError("the ? wildcard is not supported")
        if star:
            parts.append("")
        parts[-1] += escaped + plain
    return parts


# --- what the clauses are in SQL ---


def _join(word: str, clauses: list[Condition]) -> Condition:
    if len(clauses) == 1:
        return clauses[0]
    values = tuple(value for clause in clauses for value in clause.parameters)
    return Condition(f"({word.join(clause.sql for clause in clauses)})", values)


def _named(parts: list[str]) -> Field:
    """Return the field of this name, which has no wildcards."""
    field = field_named(parts[0]) if len(parts) == 1 else None
    if field is None:
        raise QueryError(f"field '{'*'.join(parts)[:60]}' is not searchable")
    return field


def _compared(field: Field, comparison: str, *values: str | int) -> Condition:
    """The field's value, or one of them, compares like this."""
    if field.kind not in _SEVERAL:
        return Condition(f"{field.column} {comparison}", values)
    sql = f"SELECT user FROM facets WHERE field = ? AND value {comparison}"  # noqa: S608 - fixed words, values are bound
    # One value is looked up for each user; a scan over many values is done once.
    is_point = comparison == "= ?"
    whole = f"EXISTS ({sql} AND user = users.key)" if is_point else f"users.key IN ({sql})"
    return Condition(whole, (field.column, *values))


def _exists(field: Field) -> Condition:
    if field.kind not in _SEVERAL:
        return Condition(f"{field.column} IS NOT NULL")
    # "/" follows "." in ASCII: an object exists where anything under its name does.
    sql = "SELECT user FROM facets WHERE field = ? OR (field > ? AND field < ?)"
    name = field.column
    return Condition(f"users.key IN ({sql})", (name, f"{name}.", f"{name}/"))


def _matching(field: Field, parts: list[str]) -> Condition:
    """The field's value is these literal parts with anything between them."""
    if len(parts) == 1:
        first, last = _bounds(field, parts[0])
        if field.kind is Kind.MOMENT:
            return _compared(field, "BETWEEN ? AND ?", first, last)
        return _compared(field, "= ?", first)
    if not any(parts):
        return _exists(field)
    if len(parts) - 1 > _MOST_STARS:
        raise QueryError("too many wildcards in one term")
    if parts[0] == "" and sum(map(len, parts)) < _SHORTEST_SUFFIX:
        raise QueryError("for suffix matching, literals must have 3 characters or more")
    if field.kind not in {Kind.FOLDED, Kind.EXACT, Kind.FACET}:
        raise QueryError("wildcards are not supported on this field")
    literals = (re.sub(r"([*?\[])", r"[\1]", str(_bounds(field, part)[0])) for part in parts)
    return _compared(field, "GLOB ?", "*".join(literals))


def _bounds(field: Field, value: str) -> tuple[str | int, str | int]:
    """Return the smallest and the largest value that a text means; only dates have two."""
    if field.kind is Kind.MOMENT:
        moment = span(value)
        if moment is None:
            raise QueryError("a date in ISO 8601 format is needed")
        return moment
    meant: str | int
    if field.kind is Kind.NUMBER:
        if not _NUMBER.fullmatch(value):
            raise QueryError("a whole number is needed")
        meant = int(value)
    elif field.kind is Kind.FLAG:
        if value not in _FLAGS:
            raise QueryError("a boolean field is true or false")
        meant = _FLAGS[value]
    elif field.kind is Kind.ID:
        meant = identifier(value)
    else:
        meant = searchable(value.lower() if field.kind is Kind.FOLDED else value)
    return meant, meant
