"""Who is at the tenant of a model test, and what people do there while the tool works.

Everything comes from a seed. All addresses end in `.example`.
"""

import copy
import json
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

from tests.sandbox.conftest import identity, person
from toolkit.change.action import NAME
from toolkit.change.javascript import action_code
from toolkit.change.policy import Policy
from toolkit.sandbox.api.action_drafts import POST_LOGIN, Draft
from toolkit.sandbox.api.action_library import Binding
from toolkit.sandbox.directory.store import Connection
from toolkit.sandbox.made_up.tenants import loadable, people

NEW = "https://images.example/new.png"
OTHER = "https://images.example/other.png"
OLD = "https://images.example/old.png"

INITIALS = "https://cdn.auth0.com/avatars/pe.png"
GRAVATAR = "https://s.gravatar.com/avatar/0123456789abcdef0123456789abcdef?s=480&r=pg&d="
PICTURES = (
    INITIALS,
    INITIALS,
    INITIALS,
    GRAVATAR + "https%3A%2F%2Fcdn.auth0.com%2Favatars%2Fpe.png",
    GRAVATAR + "mm",
    "https://secure.gravatar.com/avatar/0123456789abcdef0123456789abcdef",
    "https://own.example/me.png",
    "https://lh3.googleusercontent.com/a/default-user",
    NEW,
    OLD,
    "",
    "/uploads/me.png",
    "my photo",
    "ftp://files.example/a.png",
    "https://own.example/ünïcode.png",
    "https://cdn.auth0.com/avatars/" + "x" * 300 + ".png",
    "javascript:alert(1)",
    None,
    7,
    True,
    {"large": "https://own.example/me.png"},
    ["https://own.example/me.png"],
    "half \ud83d a character",
)
"""Root pictures: usual ones, and ones that nobody expects."""

METADATA = (
    {"picture": "https://own.example/mine.png", "theme": "dark"},
    {"picture": INITIALS},
    {"picture": INITIALS, "theme": None, "deep": {"a": [1, None, {"b": "c"}]}},
    {"picture": "https://own.example/mine.png"},
    {"picture": None, "theme": "dark"},
    {"picture": {"not": ["a", "text"]}},
    {"picture": 3.5, "n": 1e300},
    {"picture": ""},
    {"picture": "my photo"},
    {"theme": "dark", "name": "Zoë"},
    {"": "", "picture ": "x"},
    {},
    None,
    ["picture"],
    "text",
)

IDS = (
    'auth0|a "quoted" id',
    "auth0|a\\b",
    "samlp|acme|Zoë@example.com",
    "auth0|50%25 off",
    "auth0|with space",
    "auth0|a+b=c&d?e#f",
    "waad|üñí",
    "x",
)


@cache
def _sample() -> list[dict[str, Any]]:
    return [loadable(one) for one in people(400, seed=7)]


def users(random: Random) -> list[dict[str, Any]]:
    """Return 5 to 25 users of all kinds."""
    count = random.randint(5, 25)
    found = [copy.deepcopy(one) for one in random.sample(_sample(), count // 3)]
    for number in range(count - len(found)):
        one = person(number)
        one["picture"] = random.choice(PICTURES[:3] if random.random() < 0.5 else PICTURES)
        if random.random() < 0.2:
            del one["picture"]
        if random.random() < 0.6:
            one["user_metadata"] = copy.deepcopy(random.choice(METADATA))
        if random.random() < 0.3:
            one["app_metadata"] = {"picture": "https://own.example/app.png", "roles": ["a"]}
        if random.random() < 0.25:
            name = random.choice(("google-oauth2", "github", "waad", "email", "samlp"))
            one["identities"] = identity(name)
            one["user_id"] = f"{name}|{number}"
        if random.random() < 0.1:
            one["user_id"] = IDS[number % len(IDS)]
        if random.random() < 0.05:
            one["identities"] = random.choice(([], None, "none", [7]))
        found.append(one)
    return list({one["user_id"]: one for one in found}.values())


def actions(random: Random) -> list[dict[str, Any]]:
    """Return the Actions of a tenant: some of others, and maybe an earlier one of this tool."""
    found: list[dict[str, Any]] = [
        {"name": name, "code": f"exports.onExecutePostLogin = async () => {{ /* {name} */ }};"}
        for name in random.sample(("zebra", "apple", "mango"), random.randint(0, 3))
    ]
    for one in found:
        if random.random() < 0.2:
            one["bound"] = False
    if random.random() < 0.4:
        ours: dict[str, Any] = {"name": NAME, "code": action_code(Policy(OLD))}
        ours |= random.choice(({}, {}, {"bound": False}, {"deployed": False, "bound": False}))
        found.insert(random.randint(0, len(found)), ours)
    return found


class Colleagues:
    """Other people who work with the tenant, and those who log in.

    Args:
        sandbox: where.
        told: called after each edit with who, what, and the ids of users.
        may: whether an object may be edited now; named as `Oracle.key` does.
    """

    def __init__(
        self,
        sandbox: Any,
        told: Callable[[str, str, tuple[str, ...]], None],
        may: Callable[[str], bool],
    ) -> None:
        self._sandbox, self._told, self._may = sandbox, told, may
        self._random = Random(0)
        self._number = 0

    def edit_users(self, random: Random, user_ids: list[str]) -> None:
        """Do something to one of these users."""
        self._random = random
        user_id = self._random.choice(user_ids)
        if not self._may(f"user {user_id}"):
            return
        doing = (self._picture, self._picture, self._metadata, self._metadata, self._login)
        rare = (self._moves, self._renames, self._leaves, self._comes_back, self._signs_up)
        act = self._random.choice(doing if self._random.random() < 0.7 else rare)
        if self._sandbox._store.user(user_id) is None and act != self._signs_up:
            return
        act(user_id)

    def edit_library(self, random: Random, ours: str | None) -> None:
        """Do something to our Action, another one, or the bindings."""
        self._random = random
        doing = [self._drafts, self._drafts_and_deploys, self._reorders, self._binds_another]
        doing += [self._unbinds, self._renames_action, self._deletes_action, self._rolls_back]
        library = self._sandbox._library
        with library.lock:
            found = library.actions()
            if not found:
                self._random.choice((self._binds_another,))(None)
                return
            chosen = next((one for one in found if one.id == ours), None)
            if chosen is None or self._random.random() < 0.3:
                chosen = self._random.choice(found)
            self._random.choice(doing)(chosen)

    def switch_sync_on(self) -> None:
        """From now on each login overwrites the pictures of a connection."""
        name = "Username-Password-Authentication"
        self._sandbox._store._connections[name] = Connection(name, "google-oauth2")
        self._told("colleague", "switches sync on", ())

    # --- users ---

    def _new(self) -> Any:
        self._number += 1
        kind = self._random.random()
        if kind < 0.75:
            return f"https://colleague.example/{self._number}.png"
        return self._random.choice((INITIALS, OLD, "", "my photo", OTHER, None, 5))

    def _change(self, user_id: str, who: str, what: str, changes: dict[str, Any]) -> None:
        self._sandbox.change(user_id, changes)
        self._told(who, f"{what} {user_id} {json.dumps(changes)[:200]}", (user_id,))

    def _record(self, user_id: str) -> dict[str, Any]:
        return json.loads(self._sandbox._store.user(user_id))

    def _picture(self, user_id: str) -> None:
        self._change(user_id, "colleague", "sets the picture of", {"picture": self._new()})

    def _metadata(self, user_id: str) -> None:
        found = self._record(user_id).get("user_metadata")
        metadata = dict(found) if isinstance(found, dict) else {}
        kind = self._random.random()
        if kind < 0.6:
            metadata["picture"] = self._new()
        elif kind < 0.8:
            metadata[f"key{self._number}"] = self._new()
        else:
            metadata.pop("picture", None)
        self._change(user_id, "colleague", "sets the metadata of", {"user_metadata": metadata})

    def _login(self, user_id: str) -> None:
        record = self._record(user_id)
        count = record.get("logins_count")
        changes: dict[str, Any] = {"logins_count": count + 1 if isinstance(count, int) else 1}
        if not user_id.startswith(("auth0|", "email|", "sms|")):
            self._number += 1
            changes["picture"] = f"https://provider.example/{self._number}.jpg"
        self._change(user_id, "login", "of", changes)

    def _moves(self, user_id: str) -> None:
        self._change(user_id, "colleague", "moves", {"identities": identity("github", "moved")})

    def _renames(self, user_id: str) -> None:
        self._number += 1
        self._change(user_id, "colleague", "renames", {"name": f"Name {self._number}"})

    def _leaves(self, user_id: str) -> None:
        self._sandbox.delete(user_id)
        self._told("colleague", f"deletes {user_id}", (user_id,))

    def _comes_back(self, user_id: str) -> None:
        record = self._record(user_id)
        self._sandbox.delete(user_id)
        self._number += 1
        fresh = {**record, "picture": f"https://colleague.example/{self._number}.png"}
        fresh.pop("user_metadata", None)
        self._sandbox.create(fresh)
        self._told("sign-up", f"again of {user_id}", (user_id,))

    def _signs_up(self, _: str) -> None:
        self._number += 1
        one = person(1000 + self._number)
        self._sandbox.create(one)
        self._told("sign-up", one["user_id"], (one["user_id"],))

    # --- Actions; the library's lock is held ---

    def _done(self, what: str) -> None:
        self._told("colleague", what, ())

    def _drafts(self, action: Any, *, deploys: bool = False) -> None:
        if not self._may(f"action {action.id}"):
            return
        self._number += 1
        code = f"// edited by hand {self._number}"
        if self._random.random() < 0.5:
            code = f"{action.draft.code}\n{code}"  # still with the tool's first line
        changed = Draft(action.draft.name, code=code)
        action.change(changed, self._sandbox._clock())
        if deploys:
            action.deploy(changed, self._sandbox._clock())
        if deploys or self._random.random() < 0.5:
            action.settle()
        self._done(f"edits the code of {action.id}{' and deploys it' if deploys else ''}")

    def _drafts_and_deploys(self, action: Any) -> None:
        self._drafts(action, deploys=True)

    def _rolls_back(self, action: Any) -> None:
        """Deploy an earlier version again, or what is a draft."""
        if not self._may(f"action {action.id}"):
            return
        drafts = [one.draft for one in action.versions]
        action.deploy(drafts[0] if drafts else action.draft, self._sandbox._clock())
        action.settle()
        self._done(f"deploys {action.id} again")

    def _renames_action(self, action: Any) -> None:
        if not self._may(f"action {action.id}"):
            return
        self._number += 1
        draft = action.draft
        # As the API does: the draft has a new name and is built anew.
        action.change(Draft(f"Renamed {self._number}", code=draft.code), self._sandbox._clock())
        action.settle()
        self._done(f"renames {action.id}")

    def _deletes_action(self, action: Any) -> None:
        if self._may(f"action {action.id}") and self._may("bindings"):
            self._sandbox._library.remove(action, force=True)
            self._done(f"deletes {action.id}")

    def _rebinds(self, bindings: list[Any], what: str) -> None:
        if self._may("bindings"):
            self._sandbox._library._bindings[POST_LOGIN] = bindings
            self._done(what)

    def _reorders(self, _: Any) -> None:
        bindings = self._sandbox._library.bindings(POST_LOGIN)
        if len(bindings) > 1:
            self._random.shuffle(bindings)
            self._rebinds(bindings, "reorders the bindings")

    def _unbinds(self, action: Any) -> None:
        bindings = self._sandbox._library.bindings(POST_LOGIN)
        others = [one for one in bindings if one.action is not action]
        if len(others) < len(bindings):
            self._rebinds(others, f"unbinds {action.id}")

    def _binds_another(self, _: Any) -> None:
        if not self._may("bindings"):
            return
        self._number += 1
        library, now = self._sandbox._library, self._sandbox._clock()
        name = f"Another {self._number}"
        action = library.add(Draft(name, code=f"// {name}"))
        action.deploy(action.draft, now)
        action.settle()
        bindings = library.bindings(POST_LOGIN)
        place = self._random.randint(0, len(bindings))
        self._rebinds(
            [*bindings[:place], Binding(action, name, now), *bindings[place:]], f"binds {name}"
        )
