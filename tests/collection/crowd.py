"""A crowd of made-up members, evenly spread over the years that they joined in."""

from datetime import UTC, datetime, timedelta

START = datetime(2020, 1, 1, tzinfo=UTC)


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def member(number: int, created_at: datetime | None, **more):
    record = {
        "user_id": f"auth0|{number:08d}",
        "email": f"user{number:06d}@example.com",
        "name": f"User {number}",
        "identities": [{"connection": "db", "provider": "auth0", "user_id": f"{number:08d}"}],
        "picture": "https://example.com/a.png",
    }
    if created_at is not None:
        record |= {"created_at": iso(created_at), "updated_at": iso(created_at)}
    return record | more


def evenly(count: int, *, years: float = 5, first: int = 0):
    step = timedelta(days=365 * years) / max(1, count)
    return [member(first + number, START + number * step) for number in range(count)]
