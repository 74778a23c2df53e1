"""Somebody else changes Actions and bindings between our requests: nothing of it is lost.

Every kind of edit, before every request of an apply and of an undo. What may be lost is an edit
within the one round trip between the last reading and the write, and that is told, unless no
client could see it (`BLIND`).
"""

import copy
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.change.conftest import NEW, Site, journal_of
from toolkit.change import action_steps as action_module
from toolkit.change.action import NAME
from toolkit.change.javascript import action_code
from toolkit.change.policy import Policy
from toolkit.change.undo_journal import undo
from toolkit.errors import PictureAuditError
from toolkit.sandbox.api.action_drafts import POST_LOGIN, Secret
from toolkit.sandbox.api.action_library import Binding, Library

NEWER = "https://images.example/newer.png"
BY_HAND = "exports.onExecutePostLogin = async () => { /* by a colleague */ };"
FOREIGN = [
    {"name": name, "code": f"exports.onExecutePostLogin = async () => {{ /* {name} */ }};"}
    for name in ("zebra", "apple", "fig")
]
EVERY = bool(os.environ.get("PICTURE_AUDIT_FUZZ"))
SHARE = 1 if EVERY else 6

# The window of one write, and an edit in it that nothing shows afterwards: a draft that is
# written or deleted keeps no trace of what it was, and Auth0 has no conditional write.
BLIND = {
    ("PATCH", "draft"),
    ("PATCH", "secret and draft"),
    ("DELETE", "draft"),
    ("DELETE", "secret"),
    ("DELETE", "secret and draft"),
    ("DELETE", "deploy"),
    ("DELETE", "rename"),
}


@dataclass
class Colleague:
    """Edits the sandbox's Actions, before the request with a number."""

    library: Library
    kind: str
    did: bool = False
    ours: str = ""

    def _our(self) -> Any:
        codes = (action_code(Policy(NEW)), action_code(Policy(NEWER)))
        found = [one for one in self.library.actions() if one.draft.code in codes]
        return found[0] if found else None

    def edit(self) -> None:
        """Do it, where there is something to do it to."""
        with self.library.lock:
            ours = self._our()
            bindings = self.library.bindings(POST_LOGIN)
            named = {one.draft.name: one for one in self.library.actions()}
            others = [one for one in bindings if one.action is not ours]
            mine = [one for one in bindings if one.action is ours]
            if self.kind in {"bind another", "reorder", "unbind all others"}:
                wanted = {
                    "bind another": [*bindings[:1], self._binding(named["fig"]), *bindings[1:]],
                    "reorder": [*mine, *reversed(others)],
                    "unbind all others": mine,
                }[self.kind]
                self._bind(wanted)
                self.did = True
                return
            if ours is None:
                return
            self.ours = ours.id
            if self.kind in {"unbind ours", "bind ours twice"}:
                if mine:
                    self._bind(others if self.kind == "unbind ours" else [*mine, *others, *mine])
                    self.did = True
                return
            if self.kind == "delete":
                self.library.remove(ours, force=True)
            else:
                self._change(ours)
            self.did = True

    def _change(self, ours: Any) -> None:
        now = self.library.clock()
        draft = ours.draft
        if self.kind == "rename":
            draft = replace(draft, name="Renamed")
        if self.kind in {"draft", "deploy", "secret and draft"}:
            draft = replace(draft, code=BY_HAND)
        if self.kind in {"secret", "secret and draft"}:
            draft = replace(draft, secrets=(Secret("KEY", "value", now),))
        ours.change(draft, now)
        ours.settle()
        if self.kind == "deploy":
            ours.deploy(draft, now)
            ours.settle()

    def _binding(self, action: Any) -> Binding:
        return Binding(action, action.draft.name, self.library.clock())

    def _bind(self, wanted: list[Binding]) -> None:
        self.library.bind(POST_LOGIN, [(one.action, one.display_name) for one in wanted])

    def lost(self) -> bool:
        """Tell whether what the colleague did does not stand any more."""
        bindings = self.library.bindings(POST_LOGIN)
        others = [one.display_name for one in bindings if one.action.id != self.ours]
        times = len(bindings) - len(others)
        stands = {
            "bind another": "fig" in others,
            "reorder": [name for name in others if name in {"zebra", "apple"}]
            == ["apple", "zebra"],
            "unbind all others": not set(others) & {"zebra", "apple"},
            "unbind ours": times == 0,
            "bind ours twice": times == 2,
        }
        if self.kind in stands:
            return not stands[self.kind]
        found = [one for one in self.library.actions() if one.id == self.ours]
        if not found or self.kind == "delete":
            return bool(found) == (self.kind == "delete")
        draft, live = found[0].draft, found[0].live
        return not {
            "draft": draft.code == BY_HAND,
            "deploy": live is not None and live.draft.code == BY_HAND,
            "rename": draft.name == "Renamed",
            "secret": bool(draft.secrets),
            "secret and draft": bool(draft.secrets) and draft.code == BY_HAND,
        }[self.kind]


KINDS = (
    "draft",
    "deploy",
    "secret",
    "secret and draft",
    "rename",
    "delete",
    "bind another",
    "unbind ours",
    "reorder",
    "unbind all others",
    "bind ours twice",
)


@dataclass
class Between(httpx.BaseTransport):
    """What really sends; before the request with a number somebody acts."""

    inner: httpx.BaseTransport
    number: int = -1
    act: Callable[[], None] = lambda: None
    sent: list[str] = field(default_factory=list)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        short = f"{request.method} {path.removeprefix('/api/v2/actions/')}"
        self.sent.append(short)
        if len(self.sent) == self.number:
            self.act()
        return self.inner.handle_request(request)

    def close(self) -> None:
        self.inner.close()


@dataclass
class Scene:
    """A tenant, what is about to be done there, and the way back to where it began."""

    site: Site
    kind: str
    work: Callable[[], Any]
    between: Between
    former: Any = None
    kept: dict[Path, bytes] = field(default_factory=dict)

    @property
    def library(self) -> Library:
        return self.site.sandbox._library

    def keep(self) -> None:
        self.former = copy.deepcopy((self.library._actions, self.library._bindings))
        self.kept = {path: path.read_bytes() for path in self.site.folder.iterdir()}

    def reset(self, number: int, act: Callable[[], None]) -> None:
        actions, bindings = copy.deepcopy(self.former)
        self.library._actions, self.library._bindings = actions, bindings
        for path in self.site.folder.iterdir():
            if path not in self.kept:
                path.unlink()
        for path, content in self.kept.items():
            path.write_bytes(content)
        self.between.number, self.between.act, self.between.sent = number, act, []

    def run(self) -> bool:
        """Do it; return whether it says that it is complete."""
        try:
            return bool(self.work().complete)
        except PictureAuditError:
            return False

    def stands(self) -> bool:
        """Whether what was to be stands."""
        running = [
            one.action.live.draft.code
            for one in self.library.bindings(POST_LOGIN)
            if one.action.live is not None
        ]
        new, newer = (action_code(Policy(picture)) in running for picture in (NEW, NEWER))
        if "apply" in self.kind:
            return new
        return newer and not new if "former" in self.kind else not new

    def shown(self) -> tuple[Any, ...]:
        """Return what the tenant has, without ids."""
        library = self.library
        actions = sorted(
            (one.draft.name, one.draft.code, one.live.draft.code if one.live else "")
            for one in library.actions()
        )
        names = [one.display_name for one in library.bindings(POST_LOGIN)]
        return tuple(actions), tuple(names)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody waits for a build that is over when it is read twice."""
    monkeypatch.setattr(action_module, "_FIRST_WAIT", 0.001)
    monkeypatch.setattr(action_module, "_LOST", 0.01)
    return


@pytest.fixture(params=["apply", "apply over a former one", "undo", "undo to a former one"])
def scene(request: Any, site_of: Any, person: Any, quick: None) -> Scene:
    kind, over = request.param.split()[0], "former" in request.param
    old = {"name": NAME, "code": action_code(Policy(NEWER))}
    actions = [*FOREIGN[:2], {**FOREIGN[2], "bound": False}, *([old] if over else [])]
    site = site_of([person(1)], actions=actions)
    made = site.plan("action")
    between = Between(site.tenant._pace._transport)
    site.tenant._pace._transport = between
    if kind == "undo":
        assert site.apply(made).complete

    def undone() -> Any:
        return undo(site.tenant, journal_of(made), execute=True, confirm=site.tenant.domain)

    scene = Scene(
        site, request.param, undone if kind == "undo" else lambda: site.apply(made), between
    )
    scene.keep()
    return scene


def test_no_edit_of_a_colleague_is_lost_whenever_it_happens(scene: Scene) -> None:
    scene.reset(-1, lambda: None)
    before = scene.shown()
    assert scene.run()
    alone, count = scene.shown(), len(scene.between.sent)
    assert alone != before
    tried, problems = 0, []
    for place, kind in enumerate(KINDS):
        for number in range(1, count + 1):
            if (number + place) % SHARE:
                continue
            colleague = Colleague(scene.library, kind)
            scene.reset(number, colleague.edit)
            complete = scene.run()
            if colleague.did:
                tried += 1
                sent = scene.between.sent
                where = f"{kind} before request {number} of {len(sent)}, {sent[number - 1]}"
                found = problem(scene, colleague, number, complete=complete)
                problems += [f"{where}: {found}"] if found else []
    assert tried > 5
    assert problems == []


def problem(scene: Scene, colleague: Colleague, number: int, *, complete: bool) -> str | None:
    """Say what is wrong with how it ended."""
    sent = scene.between.sent
    method = sent[number - 1].split()[0]
    in_window = method in {"PATCH", "POST", "DELETE"}
    if colleague.lost():
        # Before the Action is read for the first time, an edit is what stood there before.
        reads = [place for place, one in enumerate(sent, 1) if one.startswith("GET actions/")]
        known = "apply" in scene.kind and number <= reads[0]
        taken_away = scene.kind == "undo" and colleague.kind == "unbind ours"
        if not (known or in_window or taken_away):
            return "it is lost"
        if complete and in_window and not known and (method, colleague.kind) not in BLIND:
            return "it is lost, and not told"
    # What happens after the last look nobody can know.
    if complete and number < len(sent) - 1 and not scene.stands():
        return "it is not complete"
    return None


class Slept:
    """The clock of a machine that can sleep."""

    def __init__(self) -> None:
        self.slept = 0.0
        self.monotonic, self.sleep = time.monotonic, time.sleep

    def time(self) -> float:
        return time.time() + self.slept


@pytest.mark.parametrize("scene", ["apply over a former one", "undo"], indirect=True)
def test_a_machine_that_slept_before_a_write_reads_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.reset(-1, lambda: None)
    assert scene.run()
    sent = list(scene.between.sent)
    writes = [place for place, one in enumerate(sent, 1) if not one.startswith("GET")]
    assert len(writes) > 1
    for number in writes:
        kind = "reorder" if sent[number - 1].startswith("PATCH triggers") else "draft"
        colleague = Colleague(scene.library, kind)
        clock = Slept()
        monkeypatch.setattr(action_module, "time", clock)
        scene.reset(-1, lambda: None)
        real = scene.between.inner

        class Sleepy(httpx.BaseTransport):
            """Answers what is read right before the write, and then the machine sleeps."""

            def handle_request(
                self,
                request: httpx.Request,
                number: int = number,
                colleague: Colleague = colleague,
                clock: Slept = clock,
                real: httpx.BaseTransport = real,
            ) -> httpx.Response:
                answer = real.handle_request(request)
                answer.read()
                if len(scene.between.sent) == number - 1:
                    colleague.edit()
                    clock.slept += 70
                return answer

        scene.between.inner = Sleepy()
        complete = scene.run()
        scene.between.inner = real
        assert colleague.did
        assert not colleague.lost(), sent[number - 1]
        assert complete == (kind == "reorder")


def test_a_tenant_that_knows_no_bindings_by_id_is_told_them_by_action(scene: Scene) -> None:
    def refuse(request: httpx.Request) -> None:
        if b"binding_id" in request.content:
            request.url = request.url.copy_with(path="/api/v2/actions/triggers/none/bindings")

    scene.reset(-1, lambda: None)
    scene.site.tenant._client.event_hooks["request"].append(refuse)
    assert scene.run()
    names = [name for name in scene.shown()[1] if name != NAME]
    assert names == ["zebra", "apple"]


@pytest.mark.parametrize("scene", ["undo", "undo to a former one"], indirect=True)
def test_an_action_is_taken_back_by_a_journal_of_the_former_version(scene: Scene) -> None:
    scene.reset(-1, lambda: None)
    (journal,) = (path for path in scene.kept if path.name.endswith(".journal"))
    lines = [json.loads(line) for line in journal.read_bytes().splitlines()]
    old = []
    for line in lines:
        if "step" in line:
            for name in ("version", "settings", "running"):
                line["step"].pop(name, None)
            old.append({"step": line["step"]})
    head = {name: value for name, value in lines[0].items() if name != "id"} | {"version": 1}
    journal.write_text("".join(json.dumps(one) + "\n" for one in [head, *old]))
    assert scene.run()
    assert scene.stands()
    assert [name for name in scene.shown()[1] if name != NAME] == ["zebra", "apple"]


@pytest.mark.parametrize("scene", ["apply over a former one"], indirect=True)
def test_a_token_that_runs_out_before_a_write_does_not_send_it_unread(scene: Scene) -> None:
    scene.reset(-1, lambda: None)
    refused = []
    real = scene.between.inner

    class Expiring(httpx.BaseTransport):
        """Answers the first of each kind of write that the token has run out."""

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            what = f"{request.method} {request.url.path}"
            if request.method != "GET" and "/actions/" in what and what not in refused:
                refused.append(what)
                return httpx.Response(401, json={"statusCode": 401}, request=request)
            return real.handle_request(request)

        def close(self) -> None:
            real.close()

    scene.between.inner = Expiring()
    assert scene.run()
    sent = [one for one in scene.between.sent if "oauth" not in one]
    writes = [place for place, one in enumerate(sent) if not one.startswith("GET")]
    assert len(refused) > 1
    # Each write follows a reading.
    assert all(sent[place - 1].startswith("GET") for place in writes)
