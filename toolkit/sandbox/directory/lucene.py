"""The search syntax of `GET /api/v2/users`: a subset of Lucene's, parsed into a small tree.

Facts: Auth0 docs, "User Search Query Syntax" (fields, ranges, wildcards, existence). Where
Auth0 says nothing the parser refuses, so that a client which works here works there too:
`+`, `?`, boosts, fuzzy terms and terms without a field are errors.
"""

from dataclasses import dataclass

LONGEST_QUERY = 8000
_MOST_CLAUSES = 200
_DEEPEST_NESTING = 40
_MOST_STARS = 2  # more of them make matching slow
_SHORTEST_SUFFIX = 3
_SPACE = " \t\r\n\u3000"
_ENDS_TERM = _SPACE + '()[]{}":^~'


class QueryError(ValueError):
    """The query cannot be understood, or asks for something that is not supported."""


@dataclass(frozen=True)
class Term:
    """The field has exactly this value."""

    field: str
    value: str


@dataclass(frozen=True)
class Wildcard:
    """The field's value is these literal parts with anything between them."""

    field: str
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Range:
    """The field's value lies between two ends; None is an open end."""

    field: str
    low: str | None
    high: str | None
    with_low: bool
    with_high: bool


@dataclass(frozen=True)
class Exists:
    """The field has any value."""

    field: str


@dataclass(frozen=True)
class Not:
    """The clause does not hold."""

    clause: "Node"


@dataclass(frozen=True)
class And:
    """Every clause holds."""

    clauses: "tuple[Node, ...]"


@dataclass(frozen=True)
class Or:
    """At least one clause holds."""

    clauses: "tuple[Node, ...]"


Node = Term | Wildcard | Range | Exists | Not | And | Or


def parse(text: str) -> Node:
    """Return the tree of a query.

    Raises:
        QueryError: If the query is not understood; the message says where and why.
    """
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

    def parse(self) -> Node:
        node = self._any(None)
        if self._at < len(self._text):
            raise self._unexpected()
        return node

    # --- clauses ---

    def _any(self, field: str | None) -> Node:
        """Clauses joined by OR, or by nothing (Lucene's default operator is OR)."""
        joined: list[tuple[bool, Node]] = [(True, self._all(field))]
        while not self._at_end():
            explicit = self._operator("OR") or self._operator("||")
            joined.append((not explicit, self._all(field)))
        nodes = [node for _, node in joined]
        if not any(implicit for implicit, _ in joined[1:]):
            return _join(Or, nodes)
        # As in Lucene, `a -b` means a without b, not "a, or anything but b".
        banned: list[Node] = [
            node for implicit, node in joined if implicit and isinstance(node, Not)
        ]
        wanted = [node for node in nodes if node not in banned]
        return _join(And, [_join(Or, wanted), *banned] if wanted else banned)

    def _all(self, field: str | None) -> Node:
        """Clauses joined by AND."""
        nodes = [self._one(field)]
        while self._operator("AND") or self._operator("&&"):
            nodes.append(self._one(field))
        return _join(And, nodes)

    def _one(self, field: str | None) -> Node:
        """One clause, perhaps negated."""
        if self._operator("NOT") or self._take("-") or self._take("!"):
            self._deeper()
            node = self._one(field)
            self._depth -= 1
            return Not(node)
        return self._clause(field)

    def _clause(self, field: str | None) -> Node:
        self._skip_space()
        if self._take("("):
            return self._group(field)
        if self._peek() in ('"', "[", "{"):
            return self._value(self._known(field))
        start = self._at
        parts = self._word()
        if self._take(":"):
            name = self._known("".join(parts) if len(parts) == 1 else None)
            if name == "_exists_":
                self._count()
                return Exists(self._exact())
            self._skip_space()
            if self._take("("):
                return self._group(name)
            return self._value(name)
        self._at = start
        return self._value(self._known(field))

    def _group(self, field: str | None) -> Node:
        self._deeper()
        node = self._any(field)
        if not self._take(")"):
            raise QueryError("a parenthesis is not closed")
        self._depth -= 1
        return node

    def _value(self, field: str) -> Node:
        self._count()
        self._skip_space()
        if self._peek() == '"':
            return Term(field, self._quoted())
        if self._peek() in ("[", "{"):
            return self._range(field)
        parts = self._word()
        if len(parts) == 1:
            return Term(field, parts[0])
        if not any(parts):
            return Exists(field)
        if len(parts) - 1 > _MOST_STARS:
            raise QueryError("too many wildcards in one term")
        if parts[0] == "" and sum(map(len, parts)) < _SHORTEST_SUFFIX:
            raise QueryError("for suffix matching, literals must have 3 characters or more")
        return Wildcard(field, tuple(parts))

    def _range(self, field: str) -> Range:
        with_low = self._take("[") or not self._take("{")
        low = self._end()
        self._skip_space()
        if not self._operator("TO"):
            raise QueryError("a range needs TO between its two ends")
        high = self._end()
        self._skip_space()
        with_high = self._take("]")
        if not with_high and not self._take("}"):
            raise QueryError("a range is not closed")
        return Range(field, low, high, with_low, with_high)

    # --- characters ---

    def _end(self) -> str | None:
        """One end of a range; unlike a term it may contain colons unescaped."""
        self._skip_space()
        if self._peek() == '"':
            return self._quoted()
        start, end = self._at, []
        while self._at < len(self._text) and self._peek() not in _SPACE + "]}":
            end.append(self._character())
        if not end:
            raise QueryError("a range has an empty end")
        return None if self._text[start : self._at] == "*" else "".join(end)

    def _exact(self) -> str:
        """A name after `_exists_:`, quoted or not."""
        self._skip_space()
        if self._peek() == '"':
            return self._quoted()
        parts = self._word()
        if len(parts) != 1:
            raise QueryError("a field's name cannot contain wildcards")
        return parts[0]

    def _quoted(self) -> str:
        self._at += 1
        found = []
        while self._peek() != '"':
            if self._at >= len(self._text):
                raise QueryError("a quotation mark is not closed")
            found.append(self._character())
        self._at += 1
        return "".join(found)

    def _word(self) -> list[str]:
        """A term's literal parts, split at its unescaped stars."""
        if self._peek() in ("+", "<", ">", "/"):
            raise self._unexpected()
        start = self._at
        parts = [""]
        while self._at < len(self._text) and self._peek() not in _ENDS_TERM:
            if self._peek() == "?":
                raise QueryError("the ? wildcard is not supported")
            if self._take_here("*"):
                parts.append("")
            else:
                parts[-1] += self._character()
        if self._at == start:
            raise self._unexpected()
        if self._peek() in ("^", "~"):
            raise self._unexpected()
        if self._text[start : self._at] in {"AND", "OR", "NOT", "&&", "||"}:
            raise QueryError("an operator stands where a term should")
        return parts

    def _character(self) -> str:
        """The next character; a backslash takes the one after it as it is."""
        if self._take_here("\\") and self._at >= len(self._text):
            raise QueryError("nothing follows the backslash")
        self._at += 1
        return self._text[self._at - 1]

    def _peek(self) -> str:
        """The next character; a space at the end, which ends every term."""
        return self._text[self._at] if self._at < len(self._text) else " "

    def _take_here(self, mark: str) -> bool:
        taken = self._text.startswith(mark, self._at)
        self._at += len(mark) if taken else 0
        return taken

    def _take(self, mark: str) -> bool:
        self._skip_space()
        return self._take_here(mark)

    def _operator(self, word: str) -> bool:
        """Take an operator if it stands here as a word of its own."""
        self._skip_space()
        after = self._at + len(word)
        if not self._text.startswith(word, self._at):
            return False
        if word.isalpha() and self._text[after : after + 1] not in ("", "(", '"', *_SPACE):
            return False
        self._at = after
        return True

    def _skip_space(self) -> None:
        while self._at < len(self._text) and self._text[self._at] in _SPACE:
            self._at += 1

    def _at_end(self) -> bool:
        self._skip_space()
        return self._at >= len(self._text) or self._text[self._at] == ")"

    # --- bounds and errors ---

    def _known(self, field: str | None) -> str:
        if not field:
            raise QueryError(f"a field name is needed before position {self._at}")
        return field

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > _DEEPEST_NESTING:
            raise QueryError("the query is nested too deeply")

    def _count(self) -> None:
        self._clauses += 1
        if self._clauses > _MOST_CLAUSES:
            raise QueryError("the query has too many clauses")

    def _unexpected(self) -> QueryError:
        if self._at >= len(self._text):
            return QueryError("the query ends too early")
        return QueryError(f"unexpected character at position {self._at}")


def _join(kind: type[And] | type[Or], nodes: list[Node]) -> Node:
    return nodes[0] if len(nodes) == 1 else kind(tuple(nodes))
