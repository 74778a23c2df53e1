"""The `picture-audit` command: thin faces of the package's public functions."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from toolkit.change.scopes import help_of
from toolkit.change.ways import Way
from toolkit.errors import OutputError, PictureAuditError, SettingsError
from toolkit.formatting import harmless

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from pandas import DataFrame

    from toolkit.snapshots.snapshot import Snapshot

    class _Shown(Protocol):
        """What shows itself, as text and as plain values."""

        def as_dict(self) -> dict[str, Any]: ...

    class _Ended(_Shown, Protocol):
        """What knows, too, whether everything was done."""

        @property
        def complete(self) -> bool: ...


_UNEXPECTED = 2

app = typer.Typer(
    name="picture-audit",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


class By(StrEnum):
    """What a coverage table is grouped by."""

    SOURCE = "source"
    CONNECTION = "connection"
    PROVIDER = "provider"
    COHORT = "cohort"
    ACTIVITY = "activity"


class Format(StrEnum):
    """How a table is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


class Method(StrEnum):
    """How a tenant's users are read."""

    AUTO = "auto"
    EXPORT = "export"
    SEARCH = "search"


class Limits(StrEnum):
    """Whose rate limits a sandbox has: the names of `toolkit.sandbox.api.gate.PLANS`."""

    FREE = "free"
    ESSENTIALS = "essentials"
    ENTERPRISE = "enterprise"
    UNLIMITED = "unlimited"


class Form(StrEnum):
    """How a value is printed that is no table."""

    TABLE = "table"
    JSON = "json"


class _Faulty(TyperCommand):
    """A command whose help tells the faults of a sandbox: they are looked up only for that."""

    def format_help(self, *about: Any, **named: Any) -> None:  # noqa: ANN401 - whatever typer passes
        """Write the help, with one paragraph a fault: lines of one paragraph are folded."""
        from toolkit.sandbox.faults.catalogue import FAULTS

        faults = (f"{name}: {what}." for name, what in FAULTS.items())
        self.epilog = "\n\n".join(["Faults:", *faults, help_of("sandbox")])
        super().format_help(*about, **named)


# Those of `toolkit.sandbox.made_up.tenants`, which is not imported for every command.
_USERS, _SEED = 5000, 1
# What stands before a command that can be copied: uv leaves this name in the environment.
_UV = "uv run " if "UV_RUN_RECURSION_DEPTH" in os.environ else ""


def _command(name: str, **settings: Any) -> "Callable[..., Any]":  # noqa: ANN401 - typer's own
    """Register a command whose help says which scopes it needs."""
    return app.command(name, epilog=help_of(name), **settings)


NoProgress = Annotated[bool, typer.Option("--no-progress", help="Draw no progress bar.")]
Rate = Annotated[
    float | None,
    typer.Option(min=0.01, help="Requests a second never to exceed. By default the tenant's own."),
]
SnapshotFile = Annotated[Path, typer.Argument(metavar="SNAPSHOT", help="A snapshot file.")]
Force = Annotated[
    bool, typer.Option("--force", help="Replace the file even if it is another tenant's snapshot.")
]
OutputForm = Annotated[Form, typer.Option("--format", help="How to print it.")]
Redacted = Annotated[
    Path | None,
    typer.Option(
        "--redact", metavar="FILE", help="Write a copy to share, too: see picture-audit redact."
    ),
]


@app.callback()
def picture_audit(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True)
    ] = False,
    _debug: Annotated[
        bool, typer.Option("--debug", help="Show a traceback where something goes wrong.")
    ] = False,
) -> None:
    """Where do the pictures of your Auth0 users come from, and what should the default be?

    Credentials come from the environment or `.env`: AUTH0_DOMAIN, and AUTH0_CLIENT_ID with
    AUTH0_CLIENT_SECRET, or AUTH0_TOKEN. Without any, `picture-audit demo` shows the main job.
    """


@_command("demo")
def demo_(
    users: Annotated[int, typer.Option(min=0, help="How many users to make up.")] = _USERS,
    seed: Annotated[int, typer.Option(help="The same seed makes the same users.")] = _SEED,
    out: Annotated[Path, typer.Option(help="Folder for what is written.")] = Path("out/demo"),
    force: Force = False,
    no_progress: NoProgress = False,
) -> None:
    """Do the main job on the embedded tenant: collect, classify, count, report."""
    from toolkit.launch.demo_run import demo
    from toolkit.reporting import terminal

    with terminal.progress("Collecting", off=no_progress) as show:
        snapshot = demo(out, users=users, seed=seed, force=force, show=show)
    _print_coverage(snapshot, By.SOURCE)
    terminal.written(
        Snapshot=out / "snapshot.parquet",
        Report=out / "report.html",
        Explore=f"{_UV}picture-audit lab",
    )


@_command("sandbox", cls=_Faulty)
def sandbox(
    users: Annotated[int, typer.Option(min=0, help="How many users to make up.")] = _USERS,
    load: Annotated[
        Path | None,
        typer.Option(
            metavar="USERS.ndjson[.gz]",
            help="Serve these Auth0 user objects instead, one a line; the extra key "
            "`_gravatar: true` gives a user a Gravatar.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed makes the same users.")] = _SEED,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    plan: Annotated[Limits, typer.Option(help="Whose rate limits hold.")] = Limits.UNLIMITED,
    faults: Annotated[
        str, typer.Option(metavar="NAME,NAME,…", help="What shall go wrong: see below.")
    ] = "",
    tls: Annotated[
        bool, typer.Option("--tls", help="Serve https, with a certificate made at start.")
    ] = False,
) -> None:
    """Serve a local tenant on loopback until SIGINT or SIGTERM.

    The first line of the output is one JSON object: base_url, domain, client_id,
    client_secret, users, and with --tls ca_file. They belong to this sandbox alone. The
    seed decides when the faults strike, too.
    """
    from toolkit.collection.exports.reader import read_records
    from toolkit.sandbox.made_up import tenants
    from toolkit.sandbox.made_up.tenants import loadable, people
    from toolkit.sandbox.server import Sandbox

    names = [name.strip() for name in faults.split(",") if name.strip()]
    records = read_records(load) if load else map(loadable, people(users, seed=seed))
    try:
        tenant = Sandbox(
            records,
            plan=plan.value,
            port=port,
            faults=names,
            fault_seed=seed,
            tls=tls,
            actions=() if load else tenants.ACTIONS,
            rules=() if load else tenants.RULES,
        )
        tenant.serve_forever(_announce)
    except ValueError as error:
        raise SettingsError(f"--faults: {error}.") from None
    except OSError as error:
        raise SettingsError(f"Cannot serve on port {port}: {error.strerror}.") from error


@_command("collect")
def collect_(
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where to write the snapshot. By default a new file: "
            "out/TENANT/YYYY-MM-DDTHHMM.parquet, in UTC.",
        ),
    ] = None,
    method: Annotated[Method, typer.Option(help="How to read the users.")] = Method.AUTO,
    since: Annotated[
        Path | None,
        typer.Option(metavar="SNAPSHOT", help="Bring this snapshot up to date instead, by search."),
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for an export job.")] = 8
    * 3600.0,
    rate: Rate = None,
    redacted: Redacted = None,
    force: Force = False,
    no_progress: NoProgress = False,
) -> None:
    """Read every user of the tenant into a snapshot, and prove that none is missing.

    Whatever interrupts it: the same command goes on where it ended, without --out with the newest
    unfinished collection of this tenant. `auto` takes an export
    job, as Auth0 recommends, unless the tenant is small or does not allow it.
    """
    from toolkit.collection.collect_users import collect
    from toolkit.collection.place import FOLDER
    from toolkit.reporting import terminal
    from toolkit.snapshots.snapshot import read_snapshot
    from toolkit.snapshots.storage import ensure_writable
    from toolkit.tenant.client import connect

    _ensure_apart(redacted, out, since)
    for place in (out, redacted):
        if place is not None:
            ensure_writable(place)
    former = read_snapshot(since) if since else None
    how = partial(collect, method=method.value, since=former, deadline=timeout)
    with (
        terminal.interruptible(),
        connect(ceiling=rate) as tenant,
        terminal.progress("Collecting", off=no_progress) as show,
    ):
        if out is None:
            snapshot = how(tenant, folder=FOLDER, show=show)
        else:
            snapshot = how(tenant, out=out, force=force, show=show)
    terminal.collected(snapshot, snapshot.path)
    _share(snapshot, redacted, force=force)


@_command("ingest")
def ingest_(
    exports: Annotated[
        list[Path],
        typer.Argument(metavar="EXPORT…", help="Auth0 export files: NDJSON or CSV, gzip or plain."),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write the snapshot.")],
    tenant: Annotated[
        str | None, typer.Option(help="The tenant's domain. By default what the files are called.")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS|local",
            help="Share the files out among the workers of a Dask scheduler, tcp://HOST:PORT, "
            "or of this machine: local.",
        ),
    ] = None,
    taken_at: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"],
            help="When the users were exported; UTC unless it says otherwise. By default when "
            "the newest file was changed.",
        ),
    ] = None,
    redacted: Redacted = None,
    force: Force = False,
    no_progress: NoProgress = False,
) -> None:
    """Read export files that you already have into a snapshot."""
    from toolkit.collection.exports.ingest_files import ingest
    from toolkit.reporting import terminal
    from toolkit.snapshots.storage import ensure_writable

    _ensure_apart(redacted, out, *exports)
    if redacted is not None:
        ensure_writable(redacted)
    how = ingest
    if scheduler:
        from toolkit.collection.exports.cluster import ingest_on

        how = partial(ingest_on, scheduler=scheduler)
    when = taken_at.replace(tzinfo=taken_at.tzinfo or UTC) if taken_at else None
    with terminal.interruptible(), terminal.progress("Reading", off=no_progress) as show:
        snapshot = how(exports, out, tenant=tenant, taken_at=when, force=force, show=show)
    terminal.collected(snapshot, out)
    _share(snapshot, redacted, force=force)


@_command("explain")
def explain_(
    url: Annotated[
        str,
        typer.Argument(
            metavar="[URL | -]", help="A picture URL, or - for user objects on stdin, one a line."
        ),
    ] = "-",
) -> None:
    """Say in words where a picture comes from: one JSON object a line."""
    from toolkit.classification.frames import explain
    from toolkit.collection.exports.reader import parse

    subjects = [url] if url != "-" else parse(sys.stdin.buffer, "stdin")
    for subject in subjects:
        typer.echo(json.dumps(explain(subject)))


@_command("coverage")
def coverage(
    snapshot: SnapshotFile,
    by: Annotated[By, typer.Option(help="What to group the users by.")] = By.SOURCE,
    output: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TABLE,
) -> None:
    """Count the users of a snapshot by source, connection, provider, cohort or activity."""
    from toolkit.snapshots.snapshot import read_snapshot

    _print_coverage(read_snapshot(snapshot), by, output)


@_command("findings")
def findings(
    snapshot: SnapshotFile,
    output: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TABLE,
    unmasked: Annotated[
        bool,
        typer.Option("--unmasked", help="With --format json or csv: whole user_ids as examples."),
    ] = False,
) -> None:
    """Say what is wrong with the pictures of a snapshot, for how many users, what to do."""
    from toolkit.reporting import terminal
    from toolkit.snapshots.snapshot import read_snapshot

    found = read_snapshot(snapshot).findings()
    if output is Format.JSON:
        typer.echo(json.dumps(found.as_dict(masked=not unmasked), indent=2))
    elif output is Format.CSV:
        terminal.show_sheet(found.table(masked=not unmasked))
    else:
        terminal.show_findings(found)


@_command("compare")
def compare_(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="The earlier snapshot.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The later one.")],
    output: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TABLE,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Even if they are of two tenants.")
    ] = False,
) -> None:
    """Say who moved from which source to which between two snapshots; who came, who went."""
    from toolkit.reporting import terminal
    from toolkit.snapshots.comparison import compare
    from toolkit.snapshots.snapshot import read_snapshot

    found = compare(read_snapshot(old), read_snapshot(new), anyway=anyway)
    if output is Format.JSON:
        typer.echo(json.dumps(found.as_dict(), indent=2))
    elif output is Format.CSV:
        terminal.show_sheet(found.flow)
    else:
        typer.echo(harmless(repr(found)))


@_command("report")
def report_(
    snapshot: SnapshotFile,
    out: Annotated[Path, typer.Option(metavar="FILE.html", help="Where to write the page.")],
    personal: Annotated[
        bool, typer.Option("--personal", help="Name users as examples: personal data.")
    ] = False,
) -> None:
    """Write one self-contained page to hand on, and FILE.json, the same for programs."""
    from toolkit.reporting import terminal
    from toolkit.reporting.html_report import report
    from toolkit.snapshots.snapshot import read_snapshot

    report(read_snapshot(snapshot), out, personal=personal)
    terminal.written(Report=out, JSON=out.with_suffix(".json"))


@_command("redact")
def redact_(
    snapshot: SnapshotFile,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write the copy.")],
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--key-file",
            metavar="FILE",
            help="The key to hash with; made where there is none. By default one beside your "
            "own data. Keep it: it tells who is who.",
        ),
    ] = None,
    force: Force = False,
    no_progress: NoProgress = False,
) -> None:
    """Copy a snapshot to share it: who is in it cannot be told, the numbers stay the same.

    Identifiers and e-mail addresses are replaced by keyed hashes, names are left out, times
    are cut to days. Copies made with one key can be compared with each other; nothing that has
    to find users again takes them.
    """
    from toolkit.reporting import terminal
    from toolkit.snapshots.redaction import own_key, redact
    from toolkit.snapshots.snapshot import read_snapshot

    _ensure_apart(out, snapshot, key_file)
    content = read_snapshot(snapshot)
    with terminal.progress("Redacting", off=no_progress) as show:
        redact(content, out, key=own_key(key_file), force=force, show=show)
    terminal.written(Redacted=out)


@_command("probe")
def probe_(
    snapshot: SnapshotFile,
    *,
    sample: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Ask about N users drawn at random; estimate."),
    ] = None,
    everybody: Annotated[bool, typer.Option("--all", help="Ask about everybody.")] = False,
    pictures: Annotated[
        bool,
        typer.Option("--pictures", help="Check that pictures of any source load, instead."),
    ] = False,
    rate: Annotated[
        float | None,
        typer.Option(min=0.01, help="Requests a second. By default 5, more for a sandbox."),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="With --pictures: ask for http: addresses, too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether to go ahead.")] = False,
    output: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TABLE,
    no_progress: NoProgress = False,
) -> None:
    """Ask Gravatar which unresolved pictures exist. Opt-in: it sends e-mail hashes.

    With --all the snapshot is updated; with --sample it keeps the estimate and its 95 %
    interval. With --pictures a sample of the pictures themselves is loaded from wherever
    they are. Answers are kept for 30 days: nobody is asked twice, and an interrupted probe
    goes on.
    """
    from toolkit.probing import snapshot_probe
    from toolkit.reporting import terminal
    from toolkit.snapshots.snapshot import read_snapshot
    from toolkit.snapshots.storage import ensure_writable

    if everybody is (sample is not None):
        raise SettingsError("Say how many to ask about: either --sample N or --all.")
    content = read_snapshot(snapshot)
    if not pictures:
        ensure_writable(snapshot)
    say = snapshot_probe.notice_of_pictures if pictures else snapshot_probe.notice
    ensure_agreed(say(content, sample=sample, rate=rate), yes=yes)
    with terminal.interruptible(), terminal.progress("Probing", off=no_progress) as show:
        if pictures:
            reached = snapshot_probe.reach(
                content, sample=sample, rate=rate, insecure=insecure, show=show
            )
        else:
            content = snapshot_probe.probe(content, sample=sample, rate=rate, show=show)
    if pictures:
        _print_frame(snapshot_probe.outcomes(reached), output)
    else:
        _print_coverage(content, By.SOURCE, output)
        snapshot_probe.ensure_clear(content)


PlanFile = Annotated[Path, typer.Argument(metavar="PLAN", help="A plan file.")]
Execute = Annotated[
    bool, typer.Option("--execute", help="Write. Without it, it is only rehearsed.")
]
Confirm = Annotated[
    str | None, typer.Option(metavar="DOMAIN", help="The tenant's domain, to execute.")
]
Limit = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Write no more than N users this time.")
]
Canary = Annotated[
    int | None, typer.Option(min=0, metavar="N", help="Write and read back N users first.")
]
ReadBack = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Read back N users instead of all.")
]


@_command("plan")
def plan_(
    snapshot: SnapshotFile,
    *,
    picture: Annotated[str, typer.Option(metavar="URL", help="The default picture.")],
    through: Annotated[Way, typer.Option(help="How to bring it to people.")],
    out: Annotated[Path, typer.Option(metavar="PLAN", help="Where to write the plan.")],
    connection: Annotated[
        list[str] | None, typer.Option(metavar="C", help="Only users of this one; repeatable.")
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option(metavar="S", help="Replace only this; repeatable.")
    ] = None,
    former: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="An earlier default picture, replaced too; repeatable."),
    ] = None,
    override: Annotated[
        bool, typer.Option("--override", help="Let user_metadata.picture win where it is usable.")
    ] = False,
    irreversible: Annotated[
        bool, typer.Option("--irreversible", help="Change those, too, who cannot be changed back.")
    ] = False,
    unseen: Annotated[
        bool, typer.Option("--unseen", help="Do not load the picture to look at it.")
    ] = False,
    output: OutputForm = Form.TABLE,
    no_progress: NoProgress = False,
) -> None:
    """Compute who would change, from what to what, and how long it takes. Touches nothing.

    Where the environment names the snapshot's tenant, its connections are asked who can be
    changed; else that is guessed.
    """
    from toolkit.change.prepare import known_connections, looked_at, plan, policy_of
    from toolkit.reporting import terminal
    from toolkit.snapshots.snapshot import read_snapshot

    content = read_snapshot(snapshot)
    content.provenance.require_people()
    seen = None if unseen else looked_at(picture, content.provenance)
    policy = policy_of(
        picture,
        connections=connection,
        sources=source,
        former=former or (),
        override=override,
        exception=f"http://{content.provenance.tenant}" if content.provenance.sandbox else None,
    )
    known = known_connections(content.provenance.tenant)
    with terminal.progress("Planning", off=no_progress) as show:
        made = plan(
            content,
            policy,
            through=through.value,
            out=out,
            known=known,
            irreversible=irreversible,
            looked=seen,
            show=show,
        )
    _print_value(made, output)
    if output is Form.TABLE:
        terminal.written(Plan=out)


@_command("apply")
def apply_(
    plan: PlanFile,
    *,
    execute: Execute = False,
    confirm: Confirm = None,
    limit: Limit = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="So many users are meant, where the plan asks again.")
    ] = False,
    canary: Canary = None,
    rate: Rate = None,
    output: OutputForm = Form.TABLE,
    no_progress: NoProgress = False,
) -> None:
    """Carry a plan out; rehearse it without --execute. Journals to PLAN.journal.

    The same command goes on where it ended.
    """
    from toolkit.change.apply_plan import apply

    work = partial(apply, plan=plan, agreed=yes, canary=canary)
    change = partial(work, execute=execute, confirm=confirm, limit=limit)
    _at_tenant(change, "Applying" if execute else "Rehearsing", rate, output, off=no_progress)


@_command("verify")
def verify_(
    plan: PlanFile,
    sample: ReadBack = None,
    rate: Rate = None,
    output: OutputForm = Form.TABLE,
    no_progress: NoProgress = False,
) -> None:
    """Read the tenant back and say what of a plan holds."""
    from toolkit.change.verify_plan import verify

    work = partial(verify, plan=plan, sample=sample)
    _at_tenant(work, "Reading back", rate, output, off=no_progress)


@_command("undo")
def undo_(
    journal: Annotated[Path, typer.Argument(metavar="JOURNAL", help="What applying has left.")],
    *,
    execute: Execute = False,
    confirm: Confirm = None,
    limit: Limit = None,
    canary: Canary = None,
    sample: ReadBack = None,
    rate: Rate = None,
    output: OutputForm = Form.TABLE,
    no_progress: NoProgress = False,
) -> None:
    """Put back what a journal changed, where nobody changed it since; rehearse by default."""
    from toolkit.change.undo_journal import undo

    work = partial(undo, journal=journal, sample=sample, canary=canary)
    change = partial(work, execute=execute, confirm=confirm, limit=limit)
    _at_tenant(change, "Undoing" if execute else "Rehearsing", rate, output, off=no_progress)


@_command("dashboard")
def dashboard_(
    address: Annotated[
        str, typer.Option("--ip", help="Where to serve. Anything but loopback needs --expose.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8866,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Do not open a browser.")
    ] = False,
    expose: Annotated[
        bool, typer.Option("--expose", help="Serve other machines, too: unencrypted.")
    ] = False,
    no_token: Annotated[
        bool,
        typer.Option(
            "--no-token",
            help="Let everybody in who reaches the address: they can run code as you.",
        ),
    ] = False,
) -> None:
    """Serve the panels with Voilà, on loopback, to people who do not read code.

    The address that is printed, and opened in the browser, holds a token: without it nothing is
    served. It is made anew at each start.
    """
    from toolkit.launch.notebook_pages import dashboard

    raise typer.Exit(
        dashboard(address, port, open_browser=not no_browser, expose=expose, token=not no_token)
    )


@_command("lab", context_settings={"ignore_unknown_options": True})
def lab(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[JUPYTERLAB OPTIONS]…", help="Passed on.")
    ] = None,
) -> None:
    """Open the notebooks in JupyterLab."""
    from toolkit.launch.notebook_pages import notebook_folder

    folder = notebook_folder()
    command = [sys.executable, "-m", "jupyterlab", *(arguments or [])]
    raise typer.Exit(subprocess.run(command, cwd=folder, check=False).returncode)  # noqa: S603 - our own interpreter; the options are the caller's


# What the commands have in common


def _print_coverage(snapshot: "Snapshot", by: By, output: Format = Format.TABLE) -> None:
    from toolkit.reporting import terminal

    if output is Format.JSON:
        typer.echo(json.dumps(snapshot.summary(by.value), indent=2))
    elif output is Format.CSV:
        terminal.show_sheet(snapshot.coverage(by.value).table())
    else:
        terminal.show_coverage(snapshot.coverage(by.value), snapshot.provenance)


def _print_value(value: "_Shown", output: Form) -> None:
    """Print what shows itself."""
    if output is Form.JSON:
        typer.echo(json.dumps(value.as_dict(), indent=2))
    else:
        typer.echo(harmless(repr(value)))


def _at_tenant(
    work: "Callable[..., _Ended]", what: str, rate: float | None, output: Form, *, off: bool
) -> None:
    """Do something at the tenant, print how it ended, and end with 1 where some is undone."""
    from toolkit.reporting import terminal
    from toolkit.tenant.client import connect

    with (
        terminal.interruptible(),
        # What it needs depends on the plan: that is looked at before anything is read.
        connect(scopes=(), ceiling=rate) as tenant,
        terminal.progress(what, off=off) as show,
    ):
        ended = work(tenant, show=show)
    _print_value(ended, output)
    if not ended.complete:
        raise typer.Exit(1)


def _ensure_apart(copy: Path | None, *others: Path | None) -> None:
    """Make sure that a redacted copy takes the place of nothing that is needed."""
    if copy is not None and copy.resolve() in {one.resolve() for one in others if one is not None}:
        raise OutputError(f"{copy} is named twice: give the redacted copy a place of its own.")


def _share(snapshot: "Snapshot", copy: Path | None, *, force: bool) -> None:
    """Write the copy to share that was asked for, with the user's own key."""
    if copy is not None:
        from toolkit.reporting import terminal
        from toolkit.snapshots.redaction import redact

        redact(snapshot, copy, force=force)
        terminal.written(Redacted=copy)


def _print_frame(frame: "DataFrame", output: Format) -> None:
    from toolkit.reporting import terminal

    if output is Format.JSON:
        typer.echo(frame.to_json(orient="records", indent=2))
    elif output is Format.CSV:
        terminal.show_sheet(frame)
    else:
        terminal.show_frame(frame)


def _announce(description: dict[str, str | int]) -> None:
    print(json.dumps(description), flush=True)  # noqa: T201 - one line for programs, at once


def main() -> None:
    """Run the command; every error that is expected ends in one line and an exit code."""
    if "--version" in sys.argv[1:2]:
        typer.echo(version_of("auth0-picture-audit"))
        return
    # Wherever it stands in front of what is passed on.
    own = sys.argv[: sys.argv.index("--")] if "--" in sys.argv else sys.argv
    debug = "--debug" in own
    if debug:
        sys.argv.remove("--debug")
    try:
        app()
    except Exception as error:
        if debug:
            raise
        typer.secho("Error:", fg="red", bold=True, err=True, nl=False)
        typer.echo(f" {_said(error)}", err=True)
        sys.exit(error.exit_code if isinstance(error, PictureAuditError) else _UNEXPECTED)


def _said(error: Exception) -> str:
    if isinstance(error, PictureAuditError):
        text = str(error)
        if text.replace("\n", "").isprintable():
            return text
        # A file's name, or what a file says whose it is.
        return harmless(text)
    # Its own words may hold what nobody should see.
    return (
        f"{type(error).__name__}, which nobody expected. With --debug it shows where; "
        "please report it."
    )


def ensure_agreed(notice: str, *, yes: bool) -> None:
    """Say what is about to be sent to whom, and go on only if the person agrees.

    Args:
        notice: what is sent to whom; "" where nothing leaves the machine.
        yes: whether they agreed beforehand.

    Raises:
        SettingsError: there is nobody to ask.
        typer.Exit: they do not agree (exit code 1: nothing was done).
    """
    if not notice:
        return
    typer.echo(notice, err=True)
    if yes:
        return
    if not sys.stdin.isatty():
        raise SettingsError("Nobody is there to agree to that: add --yes if you do.")
    if not typer.confirm("Go ahead?", default=False, err=True):
        typer.echo("Nothing was sent.", err=True)
        raise typer.Exit(1)
