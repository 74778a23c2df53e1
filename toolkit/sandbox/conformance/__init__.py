"""Is a real tenant as this package believes? Tried with made-up users, on request only."""
