"""The `picture-audit` command: thin faces of the package's public functions."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Annotated

import click
import typer
from rich.console import Console

from toolkit import terminal
from toolkit.collect import collect as collect_users
from toolkit.embedded import embedded_tenant
from toolkit.errors import PictureAuditError, SettingsError
from toolkit.explain import explain as explained
from toolkit.notebooks import notebook_folder
from toolkit.progress import Progress
from toolkit.records import parse, read_records
from toolkit.report import report as write_report
from toolkit.sandbox.limits import PLANS
from toolkit.sandbox.people import SEED, USERS, loadable, people
from toolkit.sandbox.server import Sandbox
from toolkit.sheet import csv
from toolkit.snapshot import Snapshot, ensure_writable, read_snapshot, replacing
from toolkit.tenant import connect

app = typer.Typer(
    name="picture-audit",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
# What is piped into a file or a pager is not cut to the width of a terminal.
_out = Console(width=None if sys.stdout.isatty() else 120)
_err = Console(stderr=True)
_INTERRUPTED = 130
_USAGE = 2


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
    SEARCH = "search"


Plan = StrEnum("Plan", {name.upper(): name for name in PLANS})  # type: ignore[misc] # made of data
_UNLIMITED = Plan("unlimited")

NoProgress = Annotated[bool, typer.Option("--no-progress", help="Draw no progress bar.")]
Rate = Annotated[
    float | None,
    typer.Option(min=0.01, help="Requests a second never to exceed. By default the tenant's own."),
]
SnapshotFile = Annotated[Path, typer.Argument(metavar="SNAPSHOT", help="A snapshot file.")]


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


@app.command()
def demo(
    users: Annotated[int, typer.Option(min=0, help="How many users to make up.")] = USERS,
    seed: Annotated[int, typer.Option(help="The same seed makes the same users.")] = SEED,
    out: Annotated[Path, typer.Option(help="Folder for what is written.")] = Path("out"),
    no_progress: NoProgress = False,
) -> None:
    """Do the main job on the embedded tenant: collect, classify, count, report."""
    ensure_writable(out / "snapshot.parquet")
    with _bar("Collecting", no_progress) as show, embedded_tenant(users, seed=seed) as tenant:
        snapshot = collect_users(tenant, out=out / "snapshot.parquet", show=show)
    with replacing(out / "coverage.json") as file:
        file.write(json.dumps(snapshot.summary(), indent=2).encode())
    write_report(snapshot, out / "report.html")
    _print_coverage(snapshot, By.SOURCE)
    _out.print(
        f"\n  Snapshot  {out / 'snapshot.parquet'}      Report  {out / 'report.html'}      "
        "Explore  uv run picture-audit lab",
        style="dim",
        highlight=False,
        soft_wrap=True,
    )


@app.command()
def sandbox(
    users: Annotated[int, typer.Option(min=0, help="How many users to make up.")] = USERS,
    load: Annotated[
        Path | None,
        typer.Option(
            metavar="USERS.ndjson[.gz]",
            help="Serve these Auth0 user objects instead, one a line; the extra key "
            "`_gravatar: true` gives a user a Gravatar.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed makes the same users.")] = SEED,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 0,
    plan: Annotated[Plan, typer.Option(help="Whose rate limits hold.")] = _UNLIMITED,
) -> None:
    """Serve a local tenant on loopback until SIGINT or SIGTERM.

    The first line of the output is one JSON object: base_url, domain, client_id,
    client_secret, users. They belong to this sandbox alone.
    """
    records = read_records(load) if load else map(loadable, people(users, seed=seed))
    try:
        Sandbox(records, plan=plan.value, port=port).serve_forever(_announce)
    except OSError as error:
        raise SettingsError(f"Cannot serve on port {port}: {error.strerror}.") from error


@app.command()
def collect(
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write the snapshot.")],
    method: Annotated[Method, typer.Option(help="How to read the users.")] = Method.AUTO,
    rate: Rate = None,
    no_progress: NoProgress = False,
) -> None:
    """Read every user of the tenant into a snapshot, and prove that none is missing."""
    del method  # search is the only one so far
    ensure_writable(out)
    with connect(ceiling=rate) as tenant, _bar("Collecting", no_progress) as show:
        snapshot = collect_users(tenant, out=out, show=show)
    _err.print(terminal.headline(snapshot.coverage(), snapshot.provenance))
    _err.print(f"Snapshot  {out}", style="dim", highlight=False, soft_wrap=True)


@app.command()
def explain(
    url: Annotated[
        str,
        typer.Argument(
            metavar="[URL | -]", help="A picture URL, or - for user objects on stdin, one a line."
        ),
    ] = "-",
) -> None:
    """Say in words where a picture comes from: one JSON object a line."""
    subjects = [url] if url != "-" else parse(sys.stdin.buffer, "stdin")
    for subject in subjects:
        typer.echo(json.dumps(explained(subject)))


@app.command()
def coverage(
    snapshot: SnapshotFile,
    by: Annotated[By, typer.Option(help="What to group the users by.")] = By.SOURCE,
    output: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.TABLE,
) -> None:
    """Count the users of a snapshot by source, connection, provider, cohort or activity."""
    content = read_snapshot(snapshot)
    if output is Format.JSON:
        typer.echo(json.dumps(content.summary(by.value), indent=2))
    elif output is Format.CSV:
        typer.echo(csv(content.coverage(by.value).table()), nl=False)
    else:
        _print_coverage(content, by)


@app.command(context_settings={"ignore_unknown_options": True})
def lab(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[JUPYTERLAB OPTIONS]…", help="Passed on.")
    ] = None,
) -> None:
    """Open the notebooks in JupyterLab."""
    folder = notebook_folder()
    command = [sys.executable, "-m", "jupyterlab", *(arguments or [])]
    raise typer.Exit(subprocess.run(command, cwd=folder, check=False).returncode)  # noqa: S603 - our own interpreter; the options are the caller's


# What the commands have in common


def _print_coverage(snapshot: Snapshot, by: By) -> None:
    counted = snapshot.coverage(by.value)
    _out.print(terminal.headline(counted, snapshot.provenance), soft_wrap=True)
    _out.print()
    _out.print(terminal.coverage_table(counted, _out.width))


def _announce(description: dict[str, str | int]) -> None:
    print(json.dumps(description), flush=True)  # noqa: T201 - one line for programs, at once


@contextmanager
def _bar(what: str, off: bool) -> Iterator[Callable[[Progress], None]]:
    with terminal.progress_bar(_err, what, enabled=not off) as show:
        yield show


def main() -> None:
    """Run the command; every error that is expected ends in one line and an exit code."""
    debug = "--debug" in sys.argv[1:]
    if "--version" in sys.argv[1:2]:
        typer.echo(version_of("auth0-picture-audit"))
        return
    try:
        code = app(standalone_mode=False)
    except PictureAuditError as error:
        if debug:
            raise
        _complain(str(error))
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(_USAGE)
    except (KeyboardInterrupt, click.Abort):
        _complain("Interrupted.")
        sys.exit(_INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


def _complain(message: str) -> None:
    _err.print("Error:", style="bold red", end=" ")
    _err.print(message, markup=False, highlight=False, soft_wrap=True)
