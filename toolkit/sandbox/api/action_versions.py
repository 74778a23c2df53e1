"""One Action: its draft, its versions, and how both look in the API.

Facts: recordings of the API. A draft is pending, then building, then built, whatever its code
is: that its JavaScript parses is nowhere checked. To deploy makes a version, which is said
not to be deployed in that answer and a moment later is; an Action that is created with
`deploy` has its version at once. INFERRED: that the oldest of more than 50 versions, or of more
than a megabyte of them, goes.
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from toolkit.sandbox.api.action_drafts import Draft
from toolkit.sandbox.problem import Problem

MOST_VERSIONS = 50
_MOST_TEXT = 1024 * 1024  # characters of all versions of an Action

_BUILD, _ROLLOUT = 5.0, 1.0  # seconds
_READS = 2
_NANOSECONDS = 1_000_000_000


def stamp(seconds: float) -> str:
    """Return UNIX seconds as this part of the API writes them: with nanoseconds."""
    moment = datetime.fromtimestamp(int(seconds), tz=UTC)
    fraction = int(seconds % 1 * _NANOSECONDS)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{fraction:09}Z"


@dataclass
class Progress:
    """How far something is that Auth0 does in the background.

    It is over when it was read for the second time, or when its time has passed: no client
    ever finds it over at once, and none has to wait long.
    """

    since: float
    seconds: float
    reads: int = 0

    def is_over(self, now: float) -> bool:
        """Tell whether it is over."""
        return self.reads >= _READS or now - self.since >= self.seconds


@dataclass
class Version:
    """An Action as it was deployed once."""

    number: int
    draft: Draft
    created: float
    rollout: Progress
    with_creation: bool
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def is_deployed(self, now: float) -> bool:
        """Tell whether it can be bound."""
        return self.rollout.is_over(now)

    def status(self, now: float) -> str:
        """Return the build's status."""
        return "pending" if self.with_creation and not self.is_deployed(now) else "built"

    def document(self, now: float, *, deployed: bool) -> dict[str, Any]:
        """Return the version as the API shows it, without its Action."""
        draft = self.draft
        built = {"built_at": stamp(self.created)} if self.is_deployed(now) else {}
        return {
            "code": draft.code,
            "dependencies": list(draft.dependencies),
            "id": self.id,
            "deployed": deployed,
            "number": self.number,
            **built,
            "secrets": _shown(draft),
            "status": self.status(now),
            "created_at": stamp(self.created),
            "updated_at": stamp(self.created),
            "runtime": draft.runtime,
            "supported_triggers": draft.supported_triggers,
        }


@dataclass
class Action:
    """An Action of the tenant."""

    draft: Draft
    created: float
    updated: float
    build: Progress
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    versions: list[Version] = field(default_factory=list)

    @classmethod
    def of(cls, draft: Draft, now: float) -> "Action":
        """Return a new Action, the draft of which is about to be built."""
        return cls(draft, now, now, Progress(now, _BUILD))

    def change(self, draft: Draft, now: float) -> None:
        """Replace the draft, which is then built anew; what is deployed stays."""
        self.draft, self.updated, self.build = draft, now, Progress(now, _BUILD)

    def deploy(self, draft: Draft, now: float, *, with_creation: bool = False) -> Version:
        """Make a version of a draft; it is what runs from now on."""
        number = self.versions[-1].number + 1 if self.versions else 1
        version = Version(number, draft, now, Progress(now, _ROLLOUT), with_creation)
        self.versions = [*self.versions, version][-MOST_VERSIONS:]
        while len(self.versions) > 1 and sum(one.draft.size for one in self.versions) > _MOST_TEXT:
            self.versions = self.versions[1:]
        return version

    def settle(self) -> None:
        """Have all that goes on in the background be over."""
        self.build.reads = _READS
        for version in self.versions:
            version.rollout.reads = _READS

    def look(self) -> None:
        """Count a read: what goes on in the background goes on."""
        self.build.reads += 1
        for version in self.versions:
            version.rollout.reads += 1

    @property
    def live(self) -> Version | None:
        """The version that runs where the Action is bound."""
        return self.versions[-1] if self.versions else None

    def status(self, now: float) -> str:
        """Return the status of the draft."""
        if self.build.is_over(now):
            return "built"
        return "building" if self.build.reads else "pending"

    def deployed(self, now: float) -> Version | None:
        """Return the version that is said to be deployed."""
        for version in reversed(self.versions):
            if version.with_creation or version.is_deployed(now):
                return version
        return None

    def version(self, name: str) -> Version:
        """Return the version with this id.

        Raises:
            Problem: If there is none. INFERRED: its text.
        """
        for version in self.versions:
            if version.id == name:
                return version
        raise Problem(404, "That action version does not exist.")

    def document(self, now: float) -> dict[str, Any]:
        """Return the Action as the API shows it."""
        draft = self.draft
        return {
            **self._head(),
            "updated_at": stamp(self.updated),
            "code": draft.code,
            "dependencies": list(draft.dependencies),
            "runtime": draft.runtime,
            "status": self.status(now),
            "secrets": _shown(draft),
            **self._deployment(now),
        }

    def brief(self, now: float) -> dict[str, Any]:
        """Return the Action as a binding shows it."""
        return {**self._head(), **self._deployment(now)}

    def version_document(self, version: Version, now: float) -> dict[str, Any]:
        """Return a version as the API shows it, with its Action."""
        deployed = version is self.deployed(now)
        # That not all changes are deployed is what recordings say even where they are.
        action = {**self._head(), "all_changes_deployed": False}
        return {**version.document(now, deployed=deployed), "action": action}

    def _head(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.draft.name,
            "supported_triggers": self.draft.supported_triggers,
            "created_at": stamp(self.created),
            "updated_at": stamp(self.created),
        }

    def _deployment(self, now: float) -> dict[str, Any]:
        deployed = self.deployed(now)
        if deployed is None:
            return {"all_changes_deployed": False}
        return {
            "current_version": _current(deployed, now),
            "deployed_version": deployed.document(now, deployed=True),
            "all_changes_deployed": deployed.draft is self.draft,
        }


def _current(version: Version, now: float) -> dict[str, Any]:
    """Return a version in an older form that the API still shows."""
    built = {"build_time": stamp(version.created)} if version.is_deployed(now) else {}
    return {
        "id": version.id,
        "code": version.draft.code,
        "runtime": version.draft.runtime,
        "status": version.status(now).upper(),
        "number": version.number,
        **built,
        "created_at": stamp(version.created),
        "updated_at": stamp(version.created),
    }


def _shown(draft: Draft) -> list[dict[str, str]]:
    """Return the secrets without their values."""
    secrets: Iterable[tuple[str, float]] = ((one.name, one.updated) for one in draft.secrets)
    return [{"name": name, "updated_at": stamp(updated)} for name, updated in secrets]
