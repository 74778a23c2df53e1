"""How many requests the sandbox answered, of which kind and how."""

import threading
from collections import Counter

_TOO_MANY = 429
# A client can make up others, as many as it likes.
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


class Tally:
    """Counts answers by (method, path template, status). Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str, int]] = Counter()

    def add(self, method: str, path: str, status: int) -> None:
        """Count one answer; methods that HTTP does not know are counted as one, "(other)"."""
        method = method if method in _METHODS else "(other)"
        with self._lock:
            self._counts[method, path, status] += 1

    @property
    def counts(self) -> Counter[tuple[str, str, int]]:
        """A copy of the counts so far."""
        with self._lock:
            return Counter(self._counts)

    @property
    def total(self) -> int:
        """All answers."""
        return self.counts.total()

    @property
    def limited(self) -> int:
        """Answers that said "too many requests"."""
        return sum(n for (_, _, status), n in self.counts.items() if status == _TOO_MANY)
