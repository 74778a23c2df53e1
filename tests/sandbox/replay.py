"""Send recorded requests to the sandbox: `uv run python -m tests.sandbox.replay FOLDER`.

FOLDER has recordings of the real API (`tests/sandbox/recordings/README.md` says what they are).
The sandbox is brought into the state that each recording needs, gets the recorded request, and
its answer is compared. The result is kept in `tests/sandbox/recordings/measured.json`, from
which `uv run python -m tests.pages` writes the tables of the guide.
"""

import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlencode

import httpx

from tests.sandbox.recorded import Recorded, Row, compared, read
from toolkit.sandbox.directory.store import Connection
from toolkit.sandbox.server import DEFAULT_SCOPES, Sandbox

HERE = Path(__file__).parent / "recordings"
MEASURED = HERE / "measured.json"

_SCOPES = f"{DEFAULT_SCOPES} create:users delete:users create:rules update:rules"
_DATABASE = "Username-Password-Authentication"
_PERSON = {
    "email": "someone@example.com",
    "name": "Someone",
    "created_at": "2026-01-01T00:00:00.000Z",
    "updated_at": "2026-01-01T00:00:00.000Z",
}
# What only an admin can give a connection, besides its name; the sandbox shows the rest itself.
_GIVEN = (
    "display_name",
    "metadata",
    "cross_app_access_requesting_app",
    "cross_app_access_resource_app",
)
_BY_HAND = ("test-client_id", "test-other-clientid", "test-access-token")
_RULES_ENDED = "Auth0 lets nobody make or edit Rules since 2024-11-18"


class Blocked(Exception):  # noqa: N818 - no error: a recording that is not replayed
    """Why an interaction cannot be replayed."""


class Box:
    """A running sandbox and a client of it; each request is two seconds later by its clock."""

    def __init__(self, users: Iterable[Mapping[str, Any]] = (), **settings: Any) -> None:
        self._now = time.time()
        # No rate limit is ever reached, but all of them are told.
        self.sandbox = Sandbox(
            users,
            plan="enterprise",
            scopes=_SCOPES,
            clock=lambda: self._now,
            monotonic=lambda: self._now * 1000,
            **settings,
        )
        self.sandbox.start()
        self._client = httpx.Client(base_url=self.sandbox.base_url, timeout=60)
        answer = self._client.post("/oauth/token", json=self.credentials)
        self._client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    @property
    def credentials(self) -> dict[str, str]:
        """What a client sends for a token."""
        return {
            "grant_type": "client_credentials",
            "client_id": self.sandbox.client_id,
            "client_secret": self.sandbox.client_secret,
            "audience": f"{self.sandbox.base_url}/api/v2/",
        }

    def send(
        self, method: str, target: str, body: str | Mapping[str, Any] = "", kind: str = ""
    ) -> httpx.Response:
        """Send a request; a body that is no text goes as JSON."""
        self._now += 2
        text = body if isinstance(body, str) else json.dumps(body)
        headers = {"Content-Type": kind or "application/json"} if text else {}
        return self._client.request(method, target, content=text or None, headers=headers)

    def ask(self, one: Recorded, target: str | None = None, body: str | None = None) -> Row:
        """Send a recorded request, perhaps with another target or body; compare the answer."""
        answer = self.send(one.method, target or one.target(), one.raw if body is None else body)
        return compared(one, answer.status_code, value(answer), answer.headers)

    def hold(
        self, users: Iterable[Mapping[str, Any]] = (), connections: Iterable[Mapping] = ()
    ) -> None:
        """Have these users and connections, and no others."""
        store = self.sandbox._store
        for user in list(self.sandbox.users()):
            self.sandbox.delete(user["user_id"])
        store._connections.clear()
        for user in users:
            self.sandbox.create(user)
        for known in connections:
            store.add_connection(known)

    def close(self) -> None:
        """Stop it."""
        self._client.close()
        self.sandbox.stop()


def value(answer: httpx.Response) -> Any:
    """Return an answer's JSON, or its text, or None where there is nothing."""
    try:
        return answer.json() if answer.content else None
    except ValueError:
        return answer.text


def _listed(body: object, name: str) -> list[dict[str, Any]]:
    found = body.get(name, []) if isinstance(body, dict) else body
    return found if isinstance(found, list) else []


def users(items: list[Recorded]) -> Iterator[Row]:
    """Read, make, change and remove users; every interaction has a user of its own."""
    box, last = Box(), {}
    for number, one in enumerate(items):
        body, key = one.response, (one.source, one.file)
        answered = body if isinstance(body, dict) and one.status < 400 else {}
        is_whole = "fields=" not in one.query
        if one.endpoint == "users" and one.method == "POST":
            if one.status == 409:
                yield Row(one, "a tenant with several custom domains")
                continue
            made = {**one.request, "email": f"n{number}-{one.request['email']}"}
            if "user_id" in made:
                made["user_id"] += f"-{number}"
            yield box.ask(one, body=json.dumps(made))
        elif one.endpoint == "users/{id}":
            former = last.get((*key, *one.ids))
            if one.status == 200 and one.method == "GET":
                state = answered if is_whole else {**(former or _PERSON), **answered}
            else:
                sent = one.request or {}
                without = {name: item for name, item in answered.items() if name not in sent}
                state = None if one.status == 404 else former or without
            own = f"{one.ids[0]}~{number}"
            if state is not None:
                box.sandbox.create({**state, "user_id": own})
            yield box.ask(one, one.target(f"/api/v2/users/{quote(own, safe='')}"))
        found = [answered, *_listed(body, "users")] if is_whole else []
        last.update({(*key, user["user_id"]): user for user in found if "user_id" in user})
    box.close()


def searches(items: list[Recorded]) -> Iterator[Row]:
    """Search a tenant that holds what the recording found."""
    box = Box()
    for one in items:
        if one.method != "GET" or one.endpoint not in ("users", "users-by-email"):
            continue
        if "search_engine=v2" in one.query:
            yield Row(one, "search engine v2, which has ended")
            continue
        whole = {} if "fields=" not in one.query else _PERSON
        found = enumerate(_listed(one.response, "users"))
        box.hold({"user_id": f"auth0|{number}", **whole, **user} for number, user in found)
        yield box.ask(one)
    box.close()


def jobs(items: list[Recorded]) -> Iterator[Row]:
    """Start export jobs and read them."""
    box, ours = Box(), {}
    box.hold(connections=[{"name": _DATABASE, "strategy": "auth0"}])
    kinds = {
        one.response["id"]: one.response["type"]
        for one in items
        if isinstance(one.response, dict) and str(one.response.get("id")).startswith("job_")
    }
    for one in items:
        if one.endpoint == "jobs/users-exports":
            asked = {**one.request, "connection_id": Connection(_DATABASE, "auth0").id}
            row = box.ask(one, body=json.dumps(asked))
            ours[one.response["id"]] = (row.body or {}).get("id")
            yield row
        elif (one.endpoint or "").startswith("jobs/{id}"):
            job = one.ids[0]
            if (kind := kinds.get(job, "users_import")) != "users_export":
                yield Row(one, f"a job of another kind: {kind}")
            else:
                yield box.ask(one, one.path.replace(job, ours.get(job, job)))
    box.close()


def connections(items: list[Recorded]) -> Iterator[Row]:
    """Read connections that have been given what the recorded ones have."""
    box = Box()

    def given(shown: Mapping[str, Any]) -> dict[str, Any]:
        named = {"name": shown.get("name", "c"), "strategy": shown.get("strategy", "auth0")}
        return named | {name: shown[name] for name in _GIVEN if name in shown}

    for one in items:
        if one.endpoint == "connections/{id}":
            known = given(one.response if one.status == 200 else {})
            box.hold(connections=[known])
            own = Connection(known["name"], known["strategy"]).id
            yield box.ask(
                one, one.target(f"/api/v2/connections/{own}") if one.status == 200 else None
            )
        elif one.endpoint == "connections":
            found = [*map(given, _listed(one.response, "connections"))]
            if isinstance(one.response, dict) and "next" in one.response:
                found.append({"name": "one more", "strategy": "auth0"})
            box.hold(connections=found)
            asked = [pair for pair in parse_qsl(one.query) if pair[0] != "from"]
            yield box.ask(one, f"{one.path}?{urlencode(asked)}" if asked else one.path)
    box.close()


def rules(items: list[Recorded]) -> Iterator[Row]:
    """List and read the Rules of one recording after the other."""
    for group in _by_file(items, "rules"):
        known: dict[str, dict[str, Any]] = {}
        for one in group:
            found = _listed(one.response, "rules")
            if isinstance(one.response, dict) and "rules" not in one.response:
                found = [{"id": (*one.ids, "")[0], **one.response}]
            for rule in found if one.status < 300 else ():
                if "id" in rule:
                    known.setdefault(rule["id"], {}).update(rule)
        usual = {"name": "r", "script": "//", "enabled": True}
        loaded = [
            {name: rule.get(name, other) for name, other in usual.items()}
            for rule in known.values()
        ]
        box = Box(rules=loaded)
        ours = [rule["id"] for rule in box.send("GET", "/api/v2/rules?per_page=100").json()]
        ids = dict(zip(known, ours, strict=True))
        for one in group:
            edits = one.method == "PATCH" and set(one.request) != {"enabled"}
            if one.method == "POST" or edits:
                yield Row(one, _RULES_ENDED)
            else:
                missing = one.path.replace("rul_", "rul_0") if one.status == 404 else None
                yield box.ask(one, _with_ids(one.target(missing), ids))
        box.close()


def tokens(items: list[Recorded]) -> Iterator[Row]:
    """Ask for tokens, by the sandbox's own credentials."""
    box = Box()
    for one in items:
        if one.endpoint != "oauth/token":
            continue
        form = one.raw if isinstance(one.request, str) else ""
        asked = dict(one.request) if isinstance(one.request, dict) else dict(parse_qsl(form))
        if any(mark in f"{asked}{one.response}" for mark in _BY_HAND):
            yield Row(one, "edited by hand: its values are test-client_id and the like")
            continue
        grant = asked.get("grant_type")
        if one.status < 400 and grant != "client_credentials":
            yield Row(one, f"a token for the grant {grant}: the sandbox has no passwords")
            continue
        names = ("client_id", "client_secret", "audience")
        own = {name: box.credentials[name] for name in names if name in asked}
        if one.status >= 400:
            own.pop("audience", None)
        answer = box.send("POST", "/oauth/token", {**asked, **own})
        yield compared(one, answer.status_code, value(answer), answer.headers)
    box.close()


class Library:
    """The Actions of one recording, followed in a sandbox."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._ids: dict[str, str] = {}
        self._versions: dict[str, str] = {}
        self._refused: dict[str, str] = {}

    def follow(self, one: Recorded) -> Row:
        """Make the state that a recording needs, and send its request."""
        try:
            self._prepare(one)
        except Blocked as blocked:
            return Row(one, str(blocked))
        # With 404 the Action was gone: an id that nobody has. One had gone with its event stream.
        ids = {**self._versions, **self._ids} if one.status != 404 else {}
        row = self._box.ask(one, _with_ids(one.target(), ids), _with_ids(one.raw, ids))
        if one.method == "POST" and isinstance(row.body, dict) and "id" in row.body:
            if one.endpoint == "actions/actions":
                self._ids[one.response["id"]] = row.body["id"]
            elif one.path.endswith("/deploy"):
                self._versions[one.response["id"]] = row.body["id"]
        if one.method == "DELETE" and row.status == 204:
            self._ids.pop(one.ids[0])
        return row

    def _prepare(self, one: Recorded) -> None:
        if one.status >= 300:
            return
        body = one.response if isinstance(one.response, dict) else {}
        if one.endpoint == "actions/actions" and one.method == "GET":
            self._list(parse_qs(one.query), body)
        elif (one.endpoint or "").endswith("bindings"):
            for binding in body.get("bindings", ()):
                action = binding["action"]
                self._need(action["id"], {**action, "deployed_version": True})
            if one.method == "GET":
                bound = [
                    {
                        "ref": {"type": "action_id", "value": self._ids[it["action"]["id"]]},
                        "display_name": it["display_name"],
                    }
                    for it in body["bindings"]
                ]
                self._box.send("PATCH", one.path, {"bindings": bound})
        elif one.ids:
            is_action = one.endpoint == "actions/actions/{id}"
            self._need(one.ids[0], body if is_action else body.get("action"))
            if one.path.endswith("/deploy"):
                self._build(one.ids[0])

    def _list(self, asked: Mapping[str, list[str]], body: Mapping[str, Any]) -> None:
        whys = []
        for action in body["actions"]:
            try:
                self._need(action["id"], action)
            except Blocked as blocked:
                whys.append(str(blocked))
        if whys and len(whys) == len(body["actions"]):
            raise Blocked(whys[0])
        is_narrow = {"triggerId", "actionName", "deployed"} & asked.keys()
        if not is_narrow and int(body.get("total", 0)) <= len(body["actions"]):
            listed = {action["id"] for action in body["actions"]}
            for theirs in self._ids.keys() - listed:
                ours = self._ids.pop(theirs)
                self._box.send("DELETE", f"/api/v2/actions/actions/{ours}?force=true")

    def _need(self, theirs: str, action: Mapping[str, Any] | None) -> None:
        """Have the Action that the recording has."""
        if theirs in self._refused:
            raise Blocked(self._refused[theirs])
        if theirs not in self._ids:
            if not action:
                raise Blocked("an Action that the recording does not show")
            trigger = {n: it for n, it in action["supported_triggers"][0].items() if n != "status"}
            body = {"name": action["name"], "supported_triggers": [trigger]}
            body |= {"code": action.get("code", "//")}
            for name in ("runtime", "dependencies"):
                body |= {name: action[name]} if action.get(name) else {}
            if secrets := action.get("secrets"):
                body["secrets"] = [{"name": one["name"], "value": "x"} for one in secrets]
            answer = self._box.send("POST", "/api/v2/actions/actions", body)
            if answer.status_code != 201:
                self._refused[theirs] = f"its Action cannot be made: {answer.text[:90]}"
                raise Blocked(self._refused[theirs])
            self._ids[theirs] = answer.json()["id"]
        if action and action.get("deployed_version"):
            where, shown = self._build(theirs)
            if "deployed_version" not in shown:
                self._box.send("POST", f"{where}/deploy")
                self._box.send("GET", where)  # time passes

    def _build(self, theirs: str) -> tuple[str, dict[str, Any]]:
        """Wait until an Action can be deployed; return its path and the Action."""
        where = f"/api/v2/actions/actions/{self._ids[theirs]}"
        for _ in range(10):
            shown = self._box.send("GET", where).json()
            if shown["status"] == "built":
                break
        return where, shown


def actions(items: list[Recorded]) -> Iterator[Row]:
    """Follow what each recording does with Actions."""
    for group in _by_file(items, "actions"):
        box = Box()
        library = Library(box)
        yield from map(library.follow, group)
        box.close()


def _by_file(items: Iterable[Recorded], beginning: str) -> list[list[Recorded]]:
    groups: dict[tuple[str, str], list[Recorded]] = defaultdict(list)
    for one in items:
        if (one.endpoint or "").partition("/")[0] == beginning:
            groups[one.source, one.file].append(one)
    return list(groups.values())


def _with_ids(text: str, ids: Mapping[str, str]) -> str:
    for theirs, ours in ids.items():
        text = text.replace(theirs, ours)
    return text


KINDS: tuple[Callable[[list[Recorded]], Iterator[Row]], ...] = (
    users,
    searches,
    jobs,
    connections,
    actions,
    rules,
    tokens,
)


def replayed(items: list[Recorded]) -> list[Row]:
    """Replay all that the sandbox has an endpoint for."""
    return [row for kind in KINDS for row in kind(items)]


def measured(rows: Iterable[Row]) -> dict[str, Any]:
    """Return the numbers of each endpoint, and what is left with its reason."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    left: Counter[tuple[str, str]] = Counter()
    for row in rows:
        name = f"{row.one.method} /{row.one.endpoint}"
        counts[name]["recorded"] += 1
        if told := row.why or row.told:
            left[name, f"{'not replayed: ' if row.why else ''}{told}"] += 1
        if row.why:
            continue
        facts = {
            "replayed": True,
            "same status": row.same_status,
            "nothing wrong": row.nothing_wrong,
            "same shape": row.same_shape,
            "same headers": row.same_kind,
            "errors": row.is_error,
            "same errors": row.is_error and row.same_error,
        }
        counts[name].update({fact: int(holds) for fact, holds in facts.items()})
    ordered = sorted(counts, key=lambda name: name.split()[::-1])
    return {
        "endpoints": {name: dict(counts[name]) for name in ordered},
        "left": [[*key, many] for key, many in sorted(left.items())],
    }


def total(endpoints: Mapping[str, Mapping[str, int]]) -> Counter[str]:
    """Return the numbers of all endpoints together."""
    return sum((Counter(dict(one)) for one in endpoints.values()), Counter())


def main() -> None:
    """Replay a folder, keep the result, and print it."""
    result = measured(replayed(read(Path(sys.argv[1]))))
    MEASURED.parent.mkdir(exist_ok=True)
    MEASURED.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    lines = [f"{many:4} {name}: {told}\n" for name, told, many in result["left"]]
    numbers = total(result["endpoints"])
    sys.stdout.write(f"{''.join(lines)}{dict(numbers)}\n")


if __name__ == "__main__":
    main()
