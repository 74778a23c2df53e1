"""Make a plan: check the picture and the arguments, then decide about the users, in pieces."""

import hashlib
import secrets
from collections.abc import Generator, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from toolkit.analysis.own_action import Step
from toolkit.change.decide import NEEDED, Decider, Tally
from toolkit.change.plan_file import scripts_of, writing_rows
from toolkit.change.plan_summary import Plan
from toolkit.change.policy import Policy, steps_of
from toolkit.change.ways import Way
from toolkit.classification.sources import Source
from toolkit.errors import ForbiddenError, OutputError, SettingsError
from toolkit.images.candidate_checks import Candidate, Level, candidate, checked
from toolkit.progress import Progress, Show, long_job
from toolkit.sandbox.picture_hosts import hosts_of
from toolkit.snapshots.snapshot import Provenance, Snapshot
from toolkit.snapshots.storage import discard_drafts, ensure_writable
from toolkit.tenant.client import connect
from toolkit.tenant.credentials import read_settings
from toolkit.tenant.models import Connection

_OLD = timedelta(days=1)
_PIECE = 16_384  # users between two steps


def policy_of(
    picture: str,
    *,
    connections: Iterable[str] | None = None,
    sources: Iterable[str] | None = None,
    former: Iterable[str] = (),
    order: Iterable[str] = (Step.OWN,),
    expired: bool = True,
    exception: str | None = None,
) -> Policy:
    """Return the policy for a picture, with its address in normal form.

    Arguments and errors as `toolkit.change.policy.Policy`, and `exception` as
    `toolkit.images.candidate_checks.checked`; no connections or sources means all of them.
    """
    # Check the address as typed: the normal form has no fragment and no credentials.
    typed = checked(picture, exception=exception)
    _require_usable(typed)
    chosen = tuple(sources or ())
    if unknown := [name for name in chosen if name not in set(Source)]:
        raise SettingsError(f"There is no source {unknown[0]!r}: choose among {', '.join(Source)}.")
    return Policy(
        picture=typed.url or picture,
        order=steps_of(order),
        expired=expired,
        former=tuple(former),
        connections=tuple(connections or ()) or None,
        sources=tuple(map(Source, chosen)) or None,
    )


@long_job
def plan(  # noqa: PLR0913 - one for each decision
    snapshot: Snapshot,
    picture: str | Policy,
    *,
    through: Way | str,
    out: Path | str | None = None,
    connections: Iterable[str] | None = None,
    sources: Iterable[str] | None = None,
    known: Iterable[Connection] | None = None,
    irreversible: bool = False,
    looked: Candidate | None = None,
    rate: float | None = None,
    show: Show | None = None,  # noqa: ARG001 - for `long_job`
) -> Generator[Progress, None, Plan]:
    """Return who would get which picture, from a snapshot; nothing is written to the tenant.

    Args:
        snapshot: the tenant's users.
        picture: the default picture's URL, or a whole policy.
        through: one of `Way`.
        out: the file of the plan; without a file it cannot be applied.
        connections: only users of these; none means all.
        sources: which sources are replaced; none means all that can be.
        known: the tenant's connections; without them, their strategies say who can be written.
        irreversible: whether to change users who could not be restored.
        looked: the result of `toolkit.images.candidate_checks.candidate`. Without it only the
            address is checked, and no request is sent.
        rate: requests a second that were measured at the tenant.
        show: called with each `Progress`, in users.

    Raises:
        SettingsError: the picture cannot be used, or the policy is not possible.
        OutputError: the file cannot be written.
        UnreadableInputError: the snapshot is damaged.
    """
    origin = snapshot.provenance
    # A sandbox's pictures are not on a public host.
    exception = f"https://{origin.tenant}" if origin.sandbox else None
    if not isinstance(picture, Policy):
        policy = policy_of(picture, connections=connections, sources=sources, exception=exception)
    elif connections or sources:
        raise SettingsError("A policy says its connections and sources itself: change it there.")
    else:
        policy = picture
    if through not in set(Way):
        raise SettingsError(f"There is no way {through!r}: choose among {', '.join(Way)}.")
    way, path = Way(through), None if out is None else Path(out)
    origin.require_people()
    found = looked or checked(policy.picture, exception=exception)
    _require_usable(found)
    if found.url != policy.picture:
        raise SettingsError(
            f"The picture's address must be written in one spelling: use {found.url}"
        )
    if path is not None:
        _require_room(path, snapshot)
        discard_drafts(path)
    now = datetime.now(UTC)
    named = None if known is None else {one.name: one for one in known}
    decider = Decider(way, policy, now, named, irreversible)
    tally, digest, done = Tally(), hashlib.sha256(), 0
    with writing_rows(path) if path else nullcontext() as writer:
        for chunk in snapshot.chunks(list(NEEDED)):
            for start in range(0, len(chunk), _PIECE):
                users = chunk.iloc[start : start + _PIECE]
                # Hash each row, so that the pieces do not matter.
                digest.update(pd.util.hash_pandas_object(users, index=False).to_numpy().tobytes())
                rows, counted = decider.decided(users)
                tally += counted
                done += len(users)
                if writer:
                    writer.add(rows)
                yield Progress(done, len(snapshot), note="deciding")
        code, rules = scripts_of(way, policy)
        made = Plan(
            id=secrets.token_hex(8),
            tenant=origin.tenant,
            sandbox=origin.sandbox,
            way=way,
            policy=policy,
            made_at=now,
            taken_at=origin.taken_at,
            digest=digest.hexdigest(),
            users=done,
            tally=tally,
            connections_read=known is not None,
            irreversible=irreversible,
            verdicts=tuple((one.name, one.level.value, one.reason) for one in found),
            code=code,
            rules=rules,
            rate=rate,
            notes=tuple(_notes(snapshot, found, policy, decider)),
            toolkit_version=version("auth0-picture-audit"),
        )
        if writer:
            writer.finish(made)
    return replace(made, path=path)


def _require_usable(found: Candidate) -> None:
    failed = [one.reason for one in found if one.level is Level.FAIL]
    if failed:
        raise SettingsError(f"This picture cannot be the default: {'; '.join(failed)}.")


def _require_room(out: Path, snapshot: Snapshot) -> None:
    if snapshot.path is not None and out.resolve() == snapshot.path.resolve():
        raise OutputError(f"{out} is the snapshot itself: name another file for the plan.")
    ensure_writable(out)
    journal = out.with_name(f"{out.name}.journal")
    if journal.exists():
        raise OutputError(
            f"{journal} is the journal of another plan in that place: name another file."
        )


def _notes(snapshot: Snapshot, found: Candidate, policy: Policy, decider: Decider) -> Iterable[str]:
    origin = snapshot.provenance
    if not origin.complete:
        yield "the snapshot is not complete: the plan lacks users, too"
    if datetime.now(UTC) - origin.taken_at > _OLD:
        yield "the snapshot is older than a day: users who changed since are skipped by apply"
    if found.image is None:
        yield "only the address of the picture was checked, not the picture"
    yield from found.notes
    if decider.way is Way.ROOT and decider.connections is None:
        yield "the tenant's connections were not read: which users Auth0 accepts is a guess"
    wired = origin.wiring
    if decider.way is Way.METADATA and not (wired and wired.override):
        yield "nothing is known to put user_metadata.picture into tokens: perhaps nobody sees it"
    if decider.way is Way.ACTION and wired:
        yield from (
            f"{one.kind} {one.name!r} sets the picture, too"
            for one in wired.setters
            if one.runs and one.policy is None
        )
    if Step.OVERRIDE in policy.order and decider.way is Way.ROOT:
        yield (
            "override is left out of the order: a copy of user_metadata.picture in the profile "
            "would not follow what people change there"
        )
    if decider.way is Way.METADATA and {*policy.order} != {Step.OWN}:
        yield (
            "a usable user_metadata.picture stays, wherever override is in the order: this way "
            "would write over it"
        )


def looked_at(picture: str, provenance: Provenance) -> Candidate | None:
    """Load a proposed default picture and judge it; None if its sandbox has stopped."""
    try:
        with hosts_of(provenance) as hosts:
            at = None if hosts.sandbox is None else hosts.address
            return candidate(picture, exception=hosts.sandbox, at=at)
    except SettingsError:
        return None


def known_connections(domain: str) -> Sequence[Connection] | None:
    """Read the connections of a tenant, if the environment names it and the token may; or None.

    Raises:
        TenantError: the tenant refused or did not answer.
    """
    settings = read_settings()
    if not settings.domain or not settings.base_url.endswith(f"//{domain}"):
        return None
    with connect(settings, scopes=()) as tenant:
        if tenant.granted("read:connections") is False:
            return None
        try:
            return tenant.connections()
        except ForbiddenError:
            return None
