"""The `picture-audit` command: each command calls the public function of its name."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version as version_of
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer import Argument, Option
from typer.core import TyperCommand

import toolkit
from toolkit.analysis.groups import lacking
from toolkit.change.scopes import help_of
from toolkit.change.ways import Way
from toolkit.errors import OutputError, PictureAuditError, SettingsError
from toolkit.formatting import harmless, masked_users
from toolkit.reporting import terminal
from toolkit.system import print_anywhere

if TYPE_CHECKING:
    from pandas import DataFrame

    from toolkit import Outcome, Snapshot
    from toolkit.change.verify_plan import Verification

app = typer.Typer(
    name="picture-audit",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

# The defaults of `toolkit.sandbox.made_up.tenants`, which is not imported for every command.
_USERS, _SEED = 5000, 1
# What stands before a command that can be copied: uv leaves this name in the environment.
_UV = "uv run " if "UV_RUN_RECURSION_DEPTH" in os.environ else ""

By = Literal["source", "connection", "provider", "cohort", "activity"]
Limits = Literal["free", "essentials", "enterprise", "enterprise-test", "unlimited"]
"""The names of `toolkit.sandbox.api.gate.PLANS`."""
Method = Literal["auto", "export", "search"]


def _option(words: str, metavar: str | None = None, default: object = None, **limits: Any) -> Any:  # noqa: ANN401 - as `Option`
    """Declare an option that need not be given, and what its value is called."""
    return Option(default, metavar=metavar, help=words, **limits)


def _flag(name: str, words: str) -> Any:  # noqa: ANN401 - as `Option`
    """Declare an option that is off unless it is given."""
    return Option(False, name, help=words)


# Options of several commands
_FORMAT = Option("--format", help="How to print it.")
Format = Annotated[Literal["table", "json", "csv"], _FORMAT]
ValueFormat = Annotated[Literal["table", "json"], _FORMAT]  # what is no table has no CSV
Port = Annotated[int, Option(min=0, max=65535, help="0 takes a free one.")]
Seed = Annotated[int, Option(help="The same seed makes the same users.")]
Users = Annotated[int, Option(min=0, help="How many users to make up.")]
SnapshotFile = Annotated[Path, Argument(metavar="SNAPSHOT", help="A snapshot file.")]
PlanFile = Annotated[Path, Argument(metavar="PLAN", help="A plan file.")]
_FORCE = _flag("--force", "Replace the file even if it is another tenant's snapshot.")
_MAP = Option(
    None,
    "--map",
    metavar="NAME=COLUMN",
    help="Take COLUMN of the file for what Auth0 calls NAME, such as picture=avatar_url. May be "
    "given several times.",
)
_NO_PROGRESS = _flag("--no-progress", "Draw no progress bar.")
_RATE = _option("Requests a second never to exceed. By default the tenant's own.", min=0.01)
_OUT = _option(
    "Where to write the snapshot. By default a new file: "
    "out/TENANT/YYYY-MM-DDTHHMM.parquet, in UTC.",
    "FILE",
)
_REDACTED = Option(
    None, "--redact", metavar="FILE", help="Write a copy to share, too: see picture-audit redact."
)
_CANARY = _option("Write and read back N users first.", "N", min=0)
_CONFIRM = _option("The tenant's domain, to confirm --execute.", "DOMAIN")
_EXECUTE = _flag("--execute", "Write. Without it, it is only rehearsed.")
_LIMIT = _option("Write no more than N users this time.", "N", min=1)
_UNMASKED = _flag("--unmasked", "Whole user_ids, e-mail addresses and names: personal data.")
_READ_BACK = _option("Read back N users instead of all.", "N", min=1)


class _WithFaults(TyperCommand):
    """A command whose help lists the faults of a sandbox: they are looked up only for that."""

    def format_help(self, *about: Any, **named: Any) -> None:  # noqa: ANN401 - whatever typer passes
        """Write the help, with one paragraph a fault: lines of one paragraph are folded."""
        from toolkit.sandbox.faults.catalogue import FAULTS

        faults = (f"{name}: {what}." for name, what in FAULTS.items())
        self.epilog = "\n\n".join(["Faults:", *faults, help_of("sandbox")])
        super().format_help(*about, **named)


def _command(function: Callable[..., None]) -> Callable[..., None]:
    """Register a command of the function's name; its help says which scopes it needs."""
    return app.command(function.__name__, epilog=help_of(function.__name__))(function)


@app.callback()
def picture_audit(
    _version: bool = Option(False, "--version", help="Print the version.", is_eager=True),
    _debug: bool = _flag("--debug", "Show a traceback where something goes wrong."),
) -> None:
    """Where do the pictures of your Auth0 users come from, and what should the default be?

    Credentials come from the environment or `.env`: AUTH0_DOMAIN, and AUTH0_CLIENT_ID with
    AUTH0_CLIENT_SECRET, or AUTH0_TOKEN. Without any, `picture-audit demo` shows the main job.
    HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE count, too.
    """


@_command
def demo(
    users: Users = _USERS,
    seed: Seed = _SEED,
    out: Path = _option("Folder for what is written.", default=Path("out/demo")),
    force: bool = _FORCE,
    output: ValueFormat = "table",
    no_progress: bool = _NO_PROGRESS,
) -> None:
    """Do the main job on the embedded tenant: collect, classify, count, report."""
    with terminal.progress("Collecting", off=no_progress) as show:
        snapshot = toolkit.demo(out, users=users, seed=seed, force=force, show=show)
    files = {"Snapshot": out / "snapshot.parquet", "Report": out / "report.html"}
    if output == "json":
        _print_written(output, files, **snapshot.summary())
        return
    _print_coverage(snapshot)
    terminal.written(**files, Explore=f"{_UV}picture-audit lab")


@app.command("sandbox", cls=_WithFaults)
def sandbox(
    users: Users = _USERS,
    load: Path | None = _option(
        "Serve these Auth0 user objects instead, one a line; the extra key `_gravatar: true` gives "
        "a user a Gravatar.",
        "USERS.ndjson[.gz]",
    ),
    seed: Seed = _SEED,
    port: Port = 0,
    plan: Limits = _option("The Auth0 plan whose rate limits apply.", default="unlimited"),
    faults: str = _option("Faults to simulate: see below.", "NAME,NAME,…", ""),
    tls: bool = _flag("--tls", "Serve https, with a certificate made at start."),
    env: bool = _flag("--env", "Print the settings as lines for a shell, instead of JSON."),
) -> None:
    """Serve a local tenant on loopback until SIGINT or SIGTERM.

    The first line of the output is one JSON object: base_url, domain, client_id,
    client_secret, users, and with --tls ca_file. They belong to this sandbox alone. The
    seed decides when the faults strike, too.
    """
    from toolkit.collection.exports.reader import user_objects
    from toolkit.sandbox.made_up import tenants

    made_up = map(tenants.loadable, tenants.people(users, seed=seed))
    try:
        tenant = toolkit.Sandbox(
            user_objects(load, str(load)) if load else made_up,
            plan=plan,
            port=port,
            faults=[name.strip() for name in faults.split(",") if name.strip()],
            fault_seed=seed,
            tls=tls,
            actions=() if load else tenants.ACTIONS,
            rules=() if load else tenants.RULES,
        )
        words = _exports if env else json.dumps
        tenant.serve_forever(lambda told: print(words(told), flush=True))  # noqa: T201 - for programs, at once
    except ValueError as error:
        raise SettingsError(f"--faults: {error}.") from None
    except OSError as error:
        raise SettingsError(
            f"Cannot serve on port {port}: {error.strerror}. Choose another --port; 0 takes a free "
            "one."
        ) from error


@_command
def collect(
    *,
    out: Path | None = _OUT,
    method: Method = _option("How to read the users.", default="auto"),
    since: Path | None = _option("Bring this snapshot up to date instead, by search.", "SNAPSHOT"),
    timeout: float = _option("Seconds to wait for an export job.", default=8 * 3600.0, min=1),
    rate: float | None = _RATE,
    redacted: Path | None = _REDACTED,
    force: bool = _FORCE,
    output: ValueFormat = "table",
    no_progress: bool = _NO_PROGRESS,
) -> None:
    """Read every user of the tenant into a snapshot, and prove that none is missing.

    If it is interrupted, the same command continues; without --out it continues the newest
    unfinished collection of this tenant, and with --since it begins again. `auto` takes an export
    job, as Auth0 recommends, unless the tenant is small or does not allow it.
    """
    from toolkit.collection.place import FOLDER
    from toolkit.snapshots.storage import ensure_writable

    _ensure_apart(redacted, out, since)
    for place in (out, redacted):
        if place is not None:
            ensure_writable(place)
    former = toolkit.read_snapshot(since) if since else None
    with (
        terminal.interruptible(),
        toolkit.connect(ceiling=rate) as tenant,
        terminal.progress("Collecting", off=no_progress) as show,
    ):
        snapshot = toolkit.collect(
            tenant,
            out=out,
            folder=FOLDER if out is None else None,
            method=method,
            since=former,
            deadline=timeout,
            force=force,
            show=show,
        )
    _print_collected(snapshot, output)
    _share(snapshot, redacted, force=force)


@_command
def ingest(
    exports: Annotated[
        list[Path],
        Argument(
            metavar="EXPORT…",
            help="Whatever file you have: NDJSON, JSON, CSV, Excel, Parquet; gzip, zip or zstd. "
            "Also a folder of them, or a pattern such as 'exports/*.csv'.",
        ),
    ],
    *,
    out: Path | None = _OUT,
    names: list[str] | None = _MAP,
    tenant: str | None = _option("The tenant's domain. By default what the files are called."),
    scheduler: str | None = _option(
        "Share the files out among the workers of a Dask scheduler, tcp://HOST:PORT, or of this "
        "machine: local.",
        "ADDRESS|local",
    ),
    taken_at: datetime | None = _option(
        "When the users were exported; UTC unless it says otherwise. By default when the newest "
        "file was changed.",
        formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"],
    ),
    redacted: Path | None = _REDACTED,
    force: bool = _FORCE,
    output: ValueFormat = "table",
    no_progress: bool = _NO_PROGRESS,
) -> None:
    """Read files of users that you already have into a snapshot.

    What is in a file decides what it is, not its name. Which of its columns were taken for which of
    Auth0's attributes is said on stderr.
    """
    from toolkit.collection.exports.field_names import names_of
    from toolkit.snapshots.storage import ensure_writable

    _ensure_apart(redacted, out, *exports)
    if redacted is not None:
        ensure_writable(redacted)
    how = partial(toolkit.ingest_on, scheduler=scheduler) if scheduler else toolkit.ingest
    when = taken_at.replace(tzinfo=taken_at.tzinfo or UTC) if taken_at else None
    with terminal.interruptible(), terminal.progress("Reading", off=no_progress) as show:
        snapshot = how(
            exports,
            out,
            tenant=tenant,
            taken_at=when,
            force=force,
            show=show,
            names=names_of(names or ()),
        )
    _print_collected(snapshot, output)
    _share(snapshot, redacted, force=force)


@_command
def explain(
    url: str = Argument(
        "-",
        metavar="[URL | -]",
        help="A picture URL, or - for users on stdin, in any form that `ingest` reads.",
    ),
    names: list[str] | None = _MAP,
    output: Annotated[
        Literal["words", "json"] | None,
        Option("--format", help="By default words on a terminal, JSON lines in a pipe."),
    ] = None,
) -> None:
    """Say where a picture comes from, and why."""
    from toolkit.collection.exports.field_names import names_of
    from toolkit.collection.exports.reader import user_objects

    words = sys.stdout.isatty() if output is None else output == "words"
    users = user_objects(sys.stdin.buffer, "stdin", names_of(names or ())) if url == "-" else [url]
    for subject in users:
        told = toolkit.explain(subject)
        if words:
            terminal.show_lines(_explained(told))
        else:
            typer.echo(json.dumps(told))


@_command
def coverage(
    snapshot: SnapshotFile,
    by: By = _option("What to group the users by.", default="source"),
    output: Format = "table",
) -> None:
    """Count the users of a snapshot by source, connection, provider, cohort or activity."""
    _print_coverage(toolkit.read_snapshot(snapshot), by, output)


@_command
def findings(
    snapshot: SnapshotFile,
    output: Format = "table",
    finding: Annotated[
        str | None,
        Option("--id", metavar="FINDING", help="List the users whom this finding concerns."),
    ] = None,
    unmasked: bool = _UNMASKED,
) -> None:
    """Say what is wrong with the pictures of a snapshot, for how many users, what to do."""
    content = toolkit.read_snapshot(snapshot)
    if finding is not None:
        _print_users(content.users_of(finding), output, masked=not unmasked)
        return
    found = content.findings()
    _print(
        output,
        lambda: terminal.show_findings(found),
        lambda: found.as_dict(masked=not unmasked),
        lambda: found.table(masked=not unmasked),
    )


@_command
def compare(
    old: Annotated[Path, Argument(metavar="OLD", help="The earlier snapshot.")],
    new: Annotated[Path, Argument(metavar="NEW", help="The later one.")],
    output: Format = "table",
    moved: str | None = _option(
        "List the users who moved from one source to another. FROM may be `new`, TO `deleted`.",
        "FROM:TO",
    ),
    unmasked: bool = _UNMASKED,
    anyway: bool = _flag("--anyway", "Even if they are of two tenants."),
) -> None:
    """Compare two snapshots: who has a picture from another source, who is new, who is gone."""
    earlier, later = map(toolkit.read_snapshot, (old, new))
    if moved is None:
        found = toolkit.compare(earlier, later, anyway=anyway)
        _print(output, lambda: terminal.show_comparison(found), found.as_dict, lambda: found.flow)
        return
    before, colon, after = moved.partition(":")
    if not colon:
        raise SettingsError("--moved takes FROM:TO, such as --moved initials:gravatar.")
    source = None if before == "new" else before
    target = None if after == "deleted" else after
    users = toolkit.users_moved(earlier, later, source, target, anyway=anyway)
    _print_users(users, output, masked=not unmasked)


@_command
def report(
    snapshot: SnapshotFile,
    out: Annotated[Path, Option(metavar="FILE.html", help="Where to write the page.")],
    personal: bool = _flag("--personal", "Name users as examples: personal data."),
    output: ValueFormat = "table",
) -> None:
    """Write one page to pass on, which needs nothing else, and FILE.json for programs."""
    toolkit.report(toolkit.read_snapshot(snapshot), out, personal=personal)
    _print_written(output, {"Report": out, "JSON": out.with_suffix(".json")})


@_command
def show(
    file: Annotated[
        Path,
        Argument(metavar="FILE", help="A snapshot, plan, journal, .part or JSON of a report."),
    ],
    output: ValueFormat = "table",
) -> None:
    """Say what a file is, and show its content. The file is not changed."""
    from toolkit.change.file_view import view

    found = view(file)
    if isinstance(found, toolkit.Snapshot):
        snapshot = found
        _print(
            output,
            lambda: _print_snapshot(snapshot),
            lambda: {"kind": "snapshot", "content": snapshot.summary()},
        )
        return
    shown = found
    _print(output, lambda: terminal.show_parts(shown.title, *shown.parts), shown.as_dict)


@_command
def redact(
    snapshot: SnapshotFile,
    out: Annotated[Path, Option(metavar="FILE", help="Where to write the copy.")],
    key_file: Path | None = _option(
        "The key to hash with; made if there is none. By default in your user data folder. "
        "Keep it secret: it shows who is who.",
        "FILE",
    ),
    force: bool = _FORCE,
    output: ValueFormat = "table",
    no_progress: bool = _NO_PROGRESS,
) -> None:
    """Make a copy of a snapshot without names, for sharing. The numbers stay the same.

    Identifiers and e-mail addresses are replaced by keyed hashes, names are left out, times
    are cut to days. Copies made with one key can be compared with each other. Commands that have
    to find users again refuse such a copy.
    """
    from toolkit.snapshots.redaction import own_key

    _ensure_apart(out, snapshot, key_file)
    content = toolkit.read_snapshot(snapshot)
    with terminal.progress("Redacting", off=no_progress) as show:
        toolkit.redact(content, out, key=own_key(key_file), force=force, show=show)
    _print_written(output, {"Redacted": out})


@_command
def probe(
    snapshot: SnapshotFile,
    *,
    sample: int | None = _option("Ask about N users chosen at random, and estimate.", "N", min=1),
    everybody: bool = _flag("--all", "Ask about everybody."),
    pictures: bool = _flag(
        "--pictures", "Load pictures of any source and see what they show, instead."
    ),
    rate: float | None = _option("Requests a second. By default 5, more for a sandbox.", min=0.01),
    insecure: bool = _flag("--insecure", "With --pictures: ask for http: addresses, too."),
    yes: bool = _flag("--yes", "Do not ask whether to go ahead."),
    output: Format = "table",
    no_progress: bool = _NO_PROGRESS,
) -> None:
    """Ask Gravatar which unresolved pictures exist. It sends e-mail hashes, and asks you first.

    With --all the snapshot is updated; with --sample it keeps the estimate and its 95 %
    interval, and as many other pictures are looked at: how many people see a picture of their
    own. With --pictures only pictures are loaded, from wherever they are, and the snapshot
    keeps what they show: a photo, letters, a pattern, a silhouette. Gravatar's answers are kept
    for 30 days: nobody is asked twice, and an interrupted probe goes on.
    """
    from toolkit.probing.picture_probe import NOT_JUDGED, notice_of_pictures
    from toolkit.probing.snapshot_probe import ensure_clear, notice
    from toolkit.snapshots.storage import ensure_writable

    if everybody == (sample is not None):  # both or neither
        raise SettingsError("Say how many to ask about: either --sample N or --all.")
    content = toolkit.read_snapshot(snapshot)
    ensure_writable(snapshot)
    say = notice_of_pictures if pictures else notice
    _ensure_agreed(say(content, sample=sample, rate=rate), yes=yes)
    ask = partial(toolkit.look, insecure=insecure) if pictures else toolkit.probe
    with terminal.interruptible(), terminal.progress("Probing", off=no_progress) as show:
        found = ask(content, sample=sample, rate=rate, show=show)
    if isinstance(found, toolkit.Snapshot):
        _print_coverage(found, output=output)
        ensure_clear(found)
    else:
        frame = toolkit.outcomes(found.pictures)
        if NOT_JUDGED in found.snapshot.provenance.notes:
            typer.echo(f"Note: {NOT_JUDGED}.", err=True)
        _print(
            output,
            lambda: terminal.show_frame(frame),
            lambda: json.loads(frame.to_json(orient="records")),
            lambda: frame,
        )


@_command
def plan(
    snapshot: SnapshotFile,
    *,
    picture: Annotated[str, Option(metavar="URL", help="The default picture.")],
    through: Annotated[
        Way, Option(metavar="WAY", help="How to bring it to people: action, root, metadata, rule.")
    ],
    out: Annotated[Path, Option(metavar="PLAN", help="Where to write the plan.")],
    connection: list[str] | None = _option("Only users of this one; repeatable.", "C"),
    source: list[str] | None = _option("Replace only this; repeatable.", "S"),
    former: list[str] | None = _option(
        "An earlier default picture, replaced too; repeatable.", "URL"
    ),
    override: bool = _flag("--override", "Show user_metadata.picture first where it is usable."),
    elsewhere: bool = _flag(
        "--elsewhere", "Before the default, show a picture that the tenant holds elsewhere."
    ),
    order: str | None = _option(
        "Where to look for a picture before the default, as override,own,elsewhere.", "STEPS"
    ),
    irreversible: bool = _flag("--irreversible", "Also change users whom undo could not restore."),
    unseen: bool = _flag("--unseen", "Do not load and check the picture."),
    output: Format = "table",
    no_progress: bool = _NO_PROGRESS,
) -> None:
    """Show who would get which picture, and how long it takes. Nothing is changed.

    If the environment names the snapshot's tenant, its connections show which users Auth0 lets us
    change; otherwise that is a guess.
    """
    from toolkit.analysis.own_action import order_of
    from toolkit.change.file_view import plan_view
    from toolkit.change.prepare import known_connections, looked_at, policy_of

    if order is not None and (override or elsewhere):
        raise SettingsError("--order names all steps: leave out --override and --elsewhere.")
    flags = order_of(override=override, elsewhere=elsewhere)
    content = toolkit.read_snapshot(snapshot)
    origin = content.provenance
    origin.require_people()
    seen = None if unseen else looked_at(picture, origin)
    policy = policy_of(
        picture,
        connections=connection,
        sources=source,
        former=former or (),
        order=flags if order is None else map(str.strip, order.split(",")),
        exception=f"http://{origin.tenant}" if origin.sandbox else None,
    )
    known = known_connections(origin.tenant)
    with terminal.progress("Planning", off=no_progress) as show:
        made = toolkit.plan(
            content,
            policy,
            through=through,
            out=out,
            known=known,
            irreversible=irreversible,
            looked=seen,
            show=show,
        )
    shown = plan_view(made)
    _print(
        output,
        lambda: terminal.show_parts(shown.title, *shown.parts),
        made.as_dict,
        made.table,
    )
    if output == "table":
        terminal.written(Plan=out)


@_command
def apply(
    plan: PlanFile,
    *,
    execute: bool = _EXECUTE,
    confirm: str | None = _CONFIRM,
    limit: int | None = _LIMIT,
    yes: bool = _flag("--yes", "Agree to change more than two thirds of all users."),
    canary: int | None = _CANARY,
    rate: float | None = _RATE,
    output: ValueFormat = "table",
    no_progress: bool = _NO_PROGRESS,
) -> None:
    """Apply a plan. Without --execute it only rehearses.

    What it does is written to PLAN.journal. The same command goes on where it ended.
    """
    work = partial(toolkit.apply, plan=plan, agreed=yes, canary=canary)
    change = partial(work, execute=execute, confirm=confirm, limit=limit)
    _at_tenant(change, "Applying" if execute else "Rehearsing", rate, output, off=no_progress)


@_command
def verify(
    plan: PlanFile,
    sample: int | None = _READ_BACK,
    rate: float | None = _RATE,
    output: ValueFormat = "table",
    no_progress: bool = _NO_PROGRESS,
) -> None:
    """Check at the tenant how much of a plan is in place."""
    work = partial(toolkit.verify, plan=plan, sample=sample)
    _at_tenant(work, "Reading back", rate, output, off=no_progress)


@_command
def undo(
    journal: Annotated[Path, Argument(metavar="JOURNAL", help="The journal that apply wrote.")],
    *,
    execute: bool = _EXECUTE,
    confirm: str | None = _CONFIRM,
    limit: int | None = _LIMIT,
    canary: int | None = _CANARY,
    sample: int | None = _READ_BACK,
    rate: float | None = _RATE,
    output: ValueFormat = "table",
    no_progress: bool = _NO_PROGRESS,
) -> None:
    """Put back what apply changed, where nobody changed it since.

    Without --execute it only rehearses.
    """
    work = partial(toolkit.undo, journal=journal, sample=sample, canary=canary)
    change = partial(work, execute=execute, confirm=confirm, limit=limit)
    _at_tenant(change, "Undoing" if execute else "Rehearsing", rate, output, off=no_progress)


@_command
def status(
    folder: Annotated[
        Path, Option("--folder", help="Where plans and journals are, also in folders of it.")
    ] = Path("out"),
    *,
    pause: bool = _flag("--pause", "Ask what is running to pause."),
    resume: bool = _flag("--resume", "Let what is paused go on."),
    stop: bool = _flag("--stop", "Ask what is running to stop; it can be gone on with."),
    output: ValueFormat = "table",
) -> None:
    """Say what is live at the tenant, which changes were made, and what to do next.

    It finds what is running in any process, and can pause or stop it: it then ends after the users
    under way, and nothing is lost. Without credentials it says nothing about the tenant.
    """
    from toolkit.change.changes_made import changes, live, running, told
    from toolkit.change.stop_request import Request, ask
    from toolkit.tenant.credentials import read_settings

    if pause + resume + stop > 1:
        raise SettingsError("--pause, --resume and --stop exclude each other.")
    if pause or resume or stop:
        request = Request.STOP if stop else Request.PAUSE if pause else None
        for one in running(folder):
            ask(one.written_journal, request)
    found, now = changes(folder, deep=True), None
    said = "The environment names no tenant: what is live there was not read."
    settings = read_settings()
    if settings.domain:
        try:
            with toolkit.connect(settings, scopes=()) as tenant:
                now = live(tenant)
                said = str(now)
        except PictureAuditError as error:
            said = f"What is live at the tenant could not be read: {error}"
    _print(
        output,
        lambda: terminal.show_lines("\n".join([said, *told(found, folder)])),
        lambda: {
            "live": now and asdict(now),
            "said": said,
            "changes": [one.as_dict() for one in found],
        },
    )


@_command
def dashboard(
    address: Annotated[
        str, Option("--ip", help="Where to serve. Anything but loopback needs --expose.")
    ] = "127.0.0.1",
    port: Port = 8866,
    no_browser: bool = _flag("--no-browser", "Do not open a browser."),
    expose: bool = _flag("--expose", "Serve other machines, too: unencrypted."),
    no_token: bool = _flag(
        "--no-token", "Let everybody in who reaches the address: they can run code as you."
    ),
) -> None:
    """Serve the panels with Voilà, on loopback, to people who do not read code.

    The address that is printed, and opened in the browser, holds a token: without it nothing is
    served. It is made anew at each start.
    """
    from toolkit.launch.notebook_pages import serve

    code = serve(address, port, open_browser=not no_browser, expose=expose, token=not no_token)
    raise typer.Exit(code)


@app.command("lab", epilog=help_of("lab"), context_settings={"ignore_unknown_options": True})
def lab(
    arguments: list[str] | None = Argument(
        None, metavar="[JUPYTERLAB OPTIONS]…", help="Passed on."
    ),
) -> None:
    """Open the notebooks in JupyterLab, the first one at once."""
    from toolkit.launch.notebook_pages import lab as open_lab

    raise typer.Exit(open_lab(arguments or []))


@_command
def conform(
    *,
    yes: bool = _flag("--yes", "Do it. Without it, it only says what it would do."),
    connection: str | None = _option(
        "The database connection to make users in. By default the only one.", "NAME"
    ),
    out: Path = _option(
        "Where to write the recording that you can send in.",
        "FILE.ndjson",
        Path("out/conform.ndjson"),
    ),
    anyway: bool = _flag("--anyway", "Even if the tenant has more than 100 users."),
    clean: bool = _flag("--clean", "Only remove the users that an earlier run left."),
    rate: float | None = _RATE,
    output: Format = "table",
    no_progress: bool = _NO_PROGRESS,
) -> None:
    """Check at a tenant of yours that Auth0 does what this tool expects. Best at an unused one.

    It makes users of example.com and removes them again. Each fact is the same as in the sandbox,
    differs, or could not be found out. If the process was killed, the next run, or --clean,
    removes its users.
    """
    from toolkit.sandbox.conformance.conform_run import notice, remove_left

    if not (yes or clean):
        terminal.show_lines(
            f"{notice()}\n\n{help_of('conform')}\n\nNothing was done. To do it: add --yes."
        )
        return
    # It begins anew each time. What it made is removed when it is interrupted, unless that fails.
    sure = "To remove what may be left: picture-audit conform --clean"
    with (
        terminal.interruptible(sure),
        toolkit.connect(scopes=(), ceiling=rate) as tenant,
        terminal.progress("Comparing", off=no_progress) as show,
    ):
        if clean:
            typer.echo(remove_left(tenant))
            return
        found = toolkit.conform(
            tenant, agreed=yes, connection=connection, out=out, anyway=anyway, show=show
        )
    _print(output, lambda: terminal.show_frame(found.table()), found.as_dict, found.table)
    typer.echo(f"{found} Recording: {out}", err=True)


# What the commands have in common


def _exports(told: Mapping[str, Any]) -> str:
    """Return what a sandbox says of itself as settings, in lines for a shell."""
    named = {
        "AUTH0_DOMAIN": "base_url",
        "AUTH0_CLIENT_ID": "client_id",
        "AUTH0_CLIENT_SECRET": "client_secret",
        "SSL_CERT_FILE": "ca_file",
    }
    return "\n".join(
        f"export {name}={quote(str(told[key]))}" for name, key in named.items() if key in told
    )


def _print(
    output: str,
    table: Callable[[], None],
    value: Callable[[], object],
    sheet: "Callable[[], DataFrame] | None" = None,
) -> None:
    """Print a result: its table, its value as JSON, or its sheet as CSV."""
    if output == "json":
        typer.echo(json.dumps(value(), indent=2))
    elif output == "csv" and sheet is not None:
        terminal.show_sheet(sheet())
    else:
        table()


def _print_coverage(snapshot: "Snapshot", by: str = "source", output: str = "table") -> None:
    _print(
        output,
        lambda: terminal.show_coverage(snapshot.coverage(by), snapshot.provenance),
        lambda: snapshot.summary(by),
        lambda: snapshot.coverage(by).table(),
    )
    if note := lacking(by, snapshot.provenance.absent):
        typer.echo(note, err=True)


def _print_snapshot(snapshot: "Snapshot") -> None:
    """Say when a snapshot was taken, and what it counts."""
    origin = snapshot.provenance
    kind = "Redacted snapshot" if origin.redacted else "Snapshot"
    terminal.show_lines(
        f"{kind} of {origin.tenant}, taken {origin.taken_at:%Y-%m-%d %H:%M} UTC by "
        f"{origin.method}, by version {origin.toolkit_version}"
    )
    _print_coverage(snapshot)
    for note in origin.notes:
        terminal.show_lines(f"note: {note}")


def _print_collected(snapshot: "Snapshot", output: str) -> None:
    """Say what was collected: people read it on stderr, programs on stdout."""
    terminal.collected(snapshot, snapshot.path)
    if output == "json":
        typer.echo(json.dumps({"path": str(snapshot.path), **snapshot.summary()}, indent=2))


def _print_written(output: str, files: Mapping[str, Path], **found: object) -> None:
    """Say which files were written, for programs with what was found."""
    _print(
        output,
        lambda: terminal.written(**files),
        lambda: {what.lower(): str(place) for what, place in files.items()} | found,
    )


def _explained(told: "Mapping[str, Any]") -> str:
    """Say in words where a picture comes from."""
    until = f" (works until {told['expires_at']})" if told["expires_at"] else ""
    return f"{told['source']}: {told['reason']}{until}"


def _print_users(users: "DataFrame", output: str, *, masked: bool) -> None:
    """Print some users of a snapshot; unless `masked` is false, nobody can be recognised."""
    shown = masked_users(users) if masked else users
    _print(
        output,
        lambda: terminal.show_users(shown),
        lambda: json.loads(shown.to_json(orient="records", date_format="iso")),
        lambda: shown,
    )


def _at_tenant(
    work: "Callable[..., Outcome | Verification]",
    what: str,
    rate: float | None,
    output: str,
    *,
    off: bool,
) -> None:
    """Do something at the tenant, print how it ended, and exit with 1 if something was not done."""
    with (
        terminal.interruptible(),
        # What it needs depends on the plan: that is looked at before anything is read.
        toolkit.connect(scopes=(), ceiling=rate) as tenant,
        terminal.progress(what, off=off) as show,
    ):
        ended = work(tenant, show=show)
    _print(output, lambda: terminal.show_lines(repr(ended)), ended.as_dict)
    if not ended.complete:
        raise typer.Exit(1)


def _ensure_apart(copy: Path | None, *others: Path | None) -> None:
    """Make sure that a redacted copy takes the place of nothing that is needed."""
    if copy is not None and copy.resolve() in {one.resolve() for one in others if one is not None}:
        raise OutputError(f"{copy} is named twice: give the redacted copy a place of its own.")


def _share(snapshot: "Snapshot", copy: Path | None, *, force: bool) -> None:
    """Write the copy to share that was asked for, with the user's own key."""
    if copy is not None:
        toolkit.redact(snapshot, copy, force=force)
        terminal.written(Redacted=copy)


def _ensure_agreed(notice: str, *, yes: bool) -> None:
    """Say what is about to be sent to whom; end with 1 unless the person agrees."""
    if not notice:  # nothing leaves the machine
        return
    typer.echo(notice, err=True)
    if yes:
        return
    if not sys.stdin.isatty():
        raise SettingsError("Nobody is there to agree to that: add --yes if you do.")
    if not typer.confirm("Go ahead?", default=False, err=True):
        typer.echo("Nothing was sent.", err=True)
        raise typer.Exit(1)


def main() -> None:
    """Run the command; every error that is expected ends in one line and an exit code."""
    print_anywhere()
    if "--version" in sys.argv[1:2]:
        typer.echo(version_of("auth0-picture-audit"))
        return
    # `--debug` may stand anywhere before `--`, behind which arguments are passed on.
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
        typer.echo(f" {_message(error)}", err=True)
        sys.exit(error.exit_code if isinstance(error, PictureAuditError) else 2)


def _message(error: Exception) -> str:
    if isinstance(error, PictureAuditError):
        text = str(error)
        # A file's name, or what a file says whose it is, may not be printable.
        return text if text.replace("\n", "").isprintable() else harmless(text)
    # Its own words may hold what nobody should see.
    return f"Unexpected error ({type(error).__name__}). Run with --debug and report it."
