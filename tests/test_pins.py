"""What users and scripts rely on stands here word for word: it changes only where that is meant.

Each pin compares with a literal. What is added is added here, too; what is renamed or gone breaks
somebody else's script or notebook. `test_kept.py` does the same for files.
"""

import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import typer

import toolkit
from tests.keep import KEPT
from tests.pinned import SOURCES, keys_of, pinned, table
from tests.shell import ran
from toolkit.cli import app

# Arguments in order, then options by name. An option with "=" takes a value: its default follows,
# then what is allowed in braces. "!": it must be given. "*": it may be given several times.
COMMANDS = """
picture-audit: --debug --install-completion --show-completion --version
demo: --force --format=table{table|json} --no-progress --out=out/demo --seed=1 --users=5000{0..}
sandbox: --env --faults= --load=
    --plan=unlimited{free|essentials|enterprise|enterprise-test|unlimited}
    --port=0{0..65535} --seed=1 --tls --users=5000{0..}
collect: --force --format=table{table|json} --method=auto{auto|export|search} --no-progress --out=
    --rate={0.01..} --redact= --since= --timeout=28800.0{1..}
ingest: EXPORT… --force --format=table{table|json} --map*= --no-progress --out= --redact=
    --scheduler=
    --taken-at={%Y-%m-%d|%Y-%m-%dT%H:%M|%Y-%m-%dT%H:%M:%S|%Y-%m-%dT%H:%M:%S%z} --tenant=
explain: [URL | -]=- --format={words|json} --map*=
coverage: SNAPSHOT --by=source{source|connection|provider|cohort|activity}
    --format=table{table|json|csv}
findings: SNAPSHOT --format=table{table|json|csv} --id= --unmasked
compare: OLD NEW --anyway --format=table{table|json|csv} --moved= --unmasked
report: SNAPSHOT --format=table{table|json} --out!= --personal
show: FILE --format=table{table|json}
redact: SNAPSHOT --force --format=table{table|json} --key-file= --no-progress --out!=
probe: SNAPSHOT --all --format=table{table|json|csv} --insecure --no-progress --pictures
    --rate={0.01..} --sample={1..} --yes
plan: SNAPSHOT --connection*= --elsewhere --format=table{table|json|csv} --former*= --irreversible
    --no-progress --order= --out!= --override --picture!= --source*=
    --through!={action|root|metadata|rule} --unseen
apply: PLAN --canary={0..} --confirm= --execute --format=table{table|json} --limit={1..}
    --no-progress --rate={0.01..} --yes
verify: PLAN --format=table{table|json} --no-progress --rate={0.01..} --sample={1..}
undo: JOURNAL --canary={0..} --confirm= --execute --format=table{table|json} --limit={1..}
    --no-progress --rate={0.01..} --sample={1..}
conform: --anyway --clean --connection= --format=table{table|json|csv} --no-progress
    --out=out/conform.ndjson --rate={0.01..} --yes
status: --folder=out --format=table{table|json} --pause --resume --stop
dashboard: --expose --ip=127.0.0.1 --no-browser --no-token --port=8866{0..65535}
lab: [JUPYTERLAB OPTIONS]…
"""

# "...": a default that is no plain value.
FUNCTIONS = """
apply: (tenant, plan, *, execute=False, confirm=None, limit=None, agreed=False, canary=None,
    stop_share=0.05, workers=8, show=None)
audit: (frame, at=None)
by_group: (coverage, top=12)
by_source: (coverage)
candidate: (url, *, exception=None, direct=False, seconds=10.0, most_bytes=5000000, resolve=...,
    at=None)
choose_default_picture: (snapshot, tenant=None, *, picture=None, folder=None)
classify: (picture, *, metadata_picture=None, strategy=None, connection=None, at=None)
cohorts: (coverage)
collect: (tenant, *, out=None, folder=None, method='auto', since=None, deadline=28800.0,
    force=False, show=None, workers=8)
collector: (out=None, *, folder=...)
combine: (first, second)
compare: (old, new, *, anyway=False)
conform: (tenant, *, agreed=False, connection=None, out=None, anyway=False, show=None)
connect: (settings=None, *, scopes=('read:users',), ceiling=None)
coverage: (users, by='source', *, as_of=None, wiring=None, shared=None, absent=())
coverage_on: (snapshot, by='source', *, scheduler='local')
dashboard: (out=None, *, folder=..., remember=False)
demo: (out='out/demo', *, users=5000, seed=1, force=False, show=None)
embedded_tenant: (users=5000, *, seed=1)
explain: (subject)
explore: (snapshot, folder=None, *, fix=None)
findings: (users, *, as_of, wiring=None, absent=())
flows: (comparison)
gallery: (snapshot, plan, image=None)
ingest: (exports, out=None, *, folder=..., tenant=None, taken_at=None, force=False, names=None,
    show=None)
ingest_on: (exports, out=None, *, folder=..., scheduler='local', tenant=None, taken_at=None,
    force=False, names=None, show=None)
latest_snapshot: (tenant, folder=...)
look: (snapshot, *, sample=None, rate=None, insecure=False, seed=1, show=None)
open_tenant: ()
outcomes: (reached)
over_time: (series)
own_by_month: (coverage)
plan: (snapshot, picture, *, through, out=None, connections=None, sources=None, known=None,
    irreversible=False, looked=None, rate=None, show=None)
probe: (snapshot, *, sample=None, rate=None, seed=1, cache=None, show=None)
reach: (snapshot, *, sample=None, rate=None, insecure=False, seed=1, show=None)
read_plan: (path)
read_snapshot: (path)
redact: (snapshot, out=None, *, key=None, force=False, show=None)
report: (snapshot, path, *, personal=False)
series: (snapshots, *, anyway=False)
undo: (tenant, journal, *, execute=False, confirm=None, limit=None, canary=None, stop_share=0.05,
    workers=8, sample=None, show=None)
users_moved: (old, new, before, after, *, anyway=False)
verify: (tenant, plan, *, sample=None, show=None)
what_people_see: (coverage)
"""

CLASSES = """
Bar Candidate Comparison Conformance Coverage Estimate Finding Findings Gallery Interval Outcome
OwnEstimate PictureAuditError Plan Policy Progress Sandbox Seen Series Snapshot Source Tenant
Verdict Wiring
"""

# Keys of objects that are printed, or in the header of a file. "[]" is an item of a list; SOURCE
# and CONNECTION stand for any of these.
JSON = """
sandbox --tls: base_url ca_file client_id client_secret domain users
sandbox: base_url client_id client_secret domain users
coverage: absent complete estimate estimated method notes own own_sample probed_at redacted requests
    sandbox seconds seed seen sources taken_at tenant toolkit_version users windows wiring
coverage.wiring: actions as_of flows rules setters streams writers
coverage.wiring.setters[]: default kind name on override policy runs spares
coverage.sources.SOURCE: share users
coverage.own: high low middle on_word
coverage.seen: broken initials none on_word own placeholder unknown
coverage.estimate: strata
coverage.estimate.strata[]: asked connection otherwise present unclear users
coverage.estimated.SOURCE: high low middle
explain: evidence expires_at fallback gravatar_hash provider reason source underlying
coverage --by: absent by complete estimate estimated groups method notes own own_sample probed_at
    redacted requests sandbox seconds seed seen sources taken_at tenant toolkit_version users
    windows wiring
coverage --by.wiring: actions as_of flows rules setters streams writers
coverage --by.wiring.setters[]: default kind name on override policy runs spares
coverage --by.estimate: strata
coverage --by.estimate.strata[]: asked connection otherwise present unclear users
coverage --by.own_sample: asked own strata unclear users
coverage --by.own_sample.own: high low middle
coverage --by.own_sample.strata[]: asked certain connection present source unclear users
coverage --by.sources.SOURCE: share users
coverage --by.own: high low middle on_word
coverage --by.seen: broken initials none on_word own placeholder unknown
coverage --by.estimated.SOURCE: high low middle
coverage --by.groups.CONNECTION: own share sources users
coverage --by.groups.CONNECTION.own: high low on_word
coverage --by.groups.CONNECTION.sources.SOURCE: share users
coverage.own_sample: asked own strata unclear users
coverage.own_sample.own: high low middle
coverage.own_sample.strata[]: asked certain connection present source unclear users
probe --pictures[]: forbidden letters not a URL pattern photo shows silhouette source users
findings: findings notes users
findings.findings[]: advice examples id meaning severity share title users
findings --id[]: connection content created_at elsewhere_from email evidence expires_at fallback
    last_login logins_count provider seen source strategy underlying updated_at user_id
compare: came came_by_source flow matched moved new notes old sources went went_by_source
compare.old: complete own sources taken_at tenant users
compare.old.own: high low on_word
compare.new: complete own sources taken_at tenant users
compare.new.own: high low on_word
compare.sources.SOURCE: after before came change changed moved_in moved_out stayed went
compare.flow[]: examples from to users
compare.came_by_source[]: examples source users
compare.went_by_source[]: examples source users
plan: asks_again cannot changes code connections_read effect effort explanation id irreversible
    made_at notes policy rate rules sandbox share snapshot tally tenant toolkit_version verdicts way
plan.effect: another fallback untouched
plan.effect.another: high low
plan.effect.fallback: high low
plan.policy: connections elsewhere expired former order override picture sources
plan.snapshot: digest taken_at users
plan.tally: connections reasons seen sources ways
plan.tally.reasons[]: outcome reason users
plan.tally.connections.CONNECTION: cannot change stay
plan.tally.sources.SOURCE: cannot change stay
plan.tally.ways: action metadata root rule
plan.tally.seen: action metadata root rule
plan.tally.seen.action: another either fallback
plan.tally.seen.metadata: another either fallback
plan.tally.seen.root: another either fallback
plan.tally.seen.rule: another either fallback
plan.effort: action metadata root rule
plan.effort.action: requests seconds users
plan.effort.action.seconds: enterprise essentials free private
plan.effort.root: requests seconds users
plan.effort.root.seconds: enterprise essentials free private
plan.effort.metadata: requests seconds users
plan.effort.metadata.seconds: enterprise essentials free private
plan.effort.rule: requests seconds users
plan.effort.rule.seconds: enterprise essentials free private
plan.explanation: changes lasts shows undo when whom
apply: action at complete done drifted earlier executed failed held kind limited lost notes planned
    reasons refused remaining requests seconds stopped tenant unlisted unsettled way
apply.action: after before bindings_after bindings_before created name
verify: checked complete differs gone holds lines open planned refused skipped tenant undone way
undo: action at complete done drifted earlier executed failed held kind limited lost notes planned
    reasons refused remaining requests seconds stopped tenant unlisted unsettled way
undo.action: after before bindings_after bindings_before created name
snapshot: absent complete estimate method notes own_sample probed_at redacted requests sandbox
    seconds seed taken_at tenant toolkit_version users windows wiring
snapshot.wiring: actions as_of flows rules setters streams writers
snapshot.wiring.setters[]: default kind name on override policy runs spares
report: broken estimated findings groups own provenance seen sources users
report.provenance: absent complete estimate method notes own_sample probed_at redacted requests
    sandbox seconds seed taken_at tenant toolkit_version users windows wiring
report.provenance.wiring: actions as_of default flows override rules setters setters_left_out
    streams writers
report.provenance.wiring.setters[]: default kind name on override policy runs spares
report.provenance.estimate: asked gravatars unclear users
report.provenance.estimate.gravatars: high low middle
report.provenance.own_sample: asked own unclear users
report.provenance.own_sample.own: high low middle
report.sources.SOURCE: share users
report.estimated.SOURCE: high low middle
report.own: high low middle on_word
report.seen: broken initials none on_word own placeholder unknown
report.groups: activity cohort connection
report.groups.connection: groups others
report.groups.connection.groups[]: name own share sources users
report.groups.connection.groups[].own: high low on_word
report.groups.connection.groups[].sources.SOURCE: share users
report.groups.cohort: groups others
report.groups.cohort.groups[]: name own share sources users
report.groups.cohort.groups[].own: high low on_word
report.groups.cohort.groups[].sources.SOURCE: share users
report.groups.activity: groups others
report.groups.activity.groups[]: name own share sources users
report.groups.activity.groups[].own: high low on_word
report.groups.activity.groups[].sources.SOURCE: share users
report.findings: findings notes users
report.findings.findings[]: advice id meaning severity share title users
"""

CSV = """
coverage csv: source,users,share
coverage --by csv:
    group,users,share,own_low,own_high,own_on_word,social,enterprise,metadata,custom,unresolved,initials,placeholder,missing,invalid
findings csv: id,severity,title,users,share,meaning,advice,examples
findings --id csv:
    user_id,email,connection,strategy,created_at,updated_at,last_login,logins_count,source,underlying,provider,fallback,evidence,expires_at,content,elsewhere_from,seen
compare --moved csv:
    user_id,email,connection,strategy,created_at,updated_at,last_login,logins_count,source,underlying,provider,fallback,evidence,expires_at,content,elsewhere_from
compare csv: from,to,users,examples
"""

# The package and the command

PLAIN = (bool, int, float, str, tuple, type(None))


def signature(function: Any) -> str:
    """Return the names of a function's arguments, and their defaults where these are plain."""

    def bare(one: inspect.Parameter) -> inspect.Parameter:
        plain = one.default is one.empty or isinstance(one.default, PLAIN)
        return one.replace(annotation=one.empty, default=one.default if plain else ...)

    found = inspect.signature(function).parameters.values()
    return str(inspect.Signature(list(map(bare, found)))).replace("Ellipsis", "...")


def test_the_package_has_the_same_functions():
    public = {name: getattr(toolkit, name) for name in toolkit.__all__}
    classes = {name for name, one in public.items() if inspect.isclass(one)}
    found = {name: signature(public[name]) for name in public.keys() - classes}
    pinned("The functions of toolkit", found, table(FUNCTIONS))
    found = {"toolkit": " ".join(sorted(classes))}
    pinned("The classes of toolkit", found, {"toolkit": " ".join(CLASSES.split())})
    assert len(toolkit.__all__) == len(public)


def said(one: Any) -> str:
    """Say of an argument or option what a script relies on."""
    if one.param_type_name == "argument":
        default = "" if one.required or one.default is None else f"={one.default}"
        return f"{one.metavar}{default}"
    name = "/".join(one.opts)
    if one.is_flag:
        return name
    kind = one.type
    allowed = "|".join(getattr(kind, "choices", ()) or getattr(kind, "formats", ()))
    if getattr(kind, "min", None) is not None:
        allowed = f"{kind.min}..{'' if kind.max is None else kind.max}"
    default = one.default.value if isinstance(one.default, Enum) else one.default
    mark = "*" if one.multiple else "!" if one.required else ""
    return f"{name}{mark}={'' if default is None else default}{f'{{{allowed}}}' if allowed else ''}"


def test_the_command_takes_the_same_arguments():
    group = typer.main.get_command(app)
    found = {}
    for name, command in {"picture-audit": group, **group.commands}.items():
        arguments = [said(one) for one in command.params if one.param_type_name == "argument"]
        options = [said(one) for one in command.params if one.param_type_name == "option"]
        found[name] = " ".join([*arguments, *sorted(options)])
    pinned("A command of picture-audit", found, table(COMMANDS))


def test_the_sources_have_the_same_names():
    found = {"Source": " ".join(sorted(toolkit.Source))}
    pinned("toolkit.Source", found, {"Source": " ".join(sorted(SOURCES))})


# What commands print

WISH = "--picture https://images.example/new.png --unseen"
# What a step prints is pinned under the name before its colon.
STEPS = """
: collect --method search --out old.parquet
: collect --method search --out s.parquet
coverage: coverage s.parquet --format json
coverage csv: coverage s.parquet --format csv
coverage --by csv: coverage s.parquet --by connection --format csv
explain: explain https://images.example/a.png
coverage: probe s.parquet --sample 40 --yes --format json
coverage --by: coverage s.parquet --by connection --format json
probe --pictures: probe s.parquet --pictures --sample 40 --yes --format json
findings: findings s.parquet --format json
findings csv: findings s.parquet --format csv
findings --id: findings s.parquet --id missing --format json
findings --id csv: findings s.parquet --id missing --format csv
: report s.parquet --out report.html
coverage: probe s.parquet --all --yes --format json
compare: compare old.parquet s.parquet --format json
compare csv: compare old.parquet s.parquet --format csv
compare --moved csv: compare old.parquet s.parquet --moved unresolved:gravatar --format csv
compare: compare KEPT/2/snapshot.parquet s.parquet --anyway --format json
plan: plan s.parquet WISH --through root --out root.plan --format json
plan: plan s.parquet WISH --through action --out action.plan --format json
plan: plan s.parquet WISH --through metadata --out metadata.plan --format json
plan: plan s.parquet WISH --through rule --out rule.plan --format json
apply: apply root.plan --format json
apply: apply root.plan MEANT --yes --format json
verify: verify root.plan --format json
undo: undo root.plan.journal --format json
undo: undo root.plan.journal MEANT --format json
apply: apply action.plan MEANT --format json
verify: verify action.plan --format json
undo: undo action.plan.journal MEANT --format json
"""


@contextmanager
def served(*options: str) -> Iterator[dict[str, Any]]:
    """Serve a sandbox as people do, and yield its first line."""
    command = [sys.executable, "-c", "from toolkit.cli import main; main()", "sandbox", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


def told_by(path: Path, name: bytes) -> Any:
    """Return what the header of a Parquet file says."""
    return json.loads(pq.read_schema(path).metadata[name])


@pytest.fixture(scope="module")
def printed(tmp_path_factory) -> dict[str, list[Any]]:
    """Return what commands print, by name: from reading users to a change that is undone."""
    found: dict[str, list[Any]] = {}
    with served("--users", "0", "--tls") as told:
        found["sandbox --tls"] = [told]
    with served("--users", "100", "--seed", "7") as told, pytest.MonkeyPatch.context() as patch:
        patch.delenv("AUTH0_TOKEN", raising=False)
        patch.chdir(tmp_path_factory.mktemp("flow"))
        found["sandbox"] = [told]
        words = {"WISH": WISH, "KEPT": str(KEPT), "MEANT": f"--execute --confirm {told['domain']}"}
        environment = {
            "AUTH0_DOMAIN": told["base_url"],
            "AUTH0_CLIENT_ID": told["client_id"],
            "AUTH0_CLIENT_SECRET": told["client_secret"],
        }
        for step in STEPS.strip().splitlines():
            name, _, line = step.partition(": ")
            for word, meant in words.items():
                line = line.replace(word, meant)
            answer = ran(f"uv run picture-audit {line}", environment)
            assert answer.code == 0, f"{line}: {answer.stderr}"
            if name.endswith(" csv"):
                found[name] = [answer.stdout.splitlines()[0]]
            elif name:
                found.setdefault(name, []).append(json.loads(answer.stdout))
        # A plan's file holds what is printed of it.
        found["plan"] += [told_by(path, b"plan") for path in Path().glob("*.plan")]
        found["snapshot"] = [told_by(path, b"provenance") for path in Path().glob("*.parquet")]
        found["report"] = [json.loads(Path("report.json").read_text(encoding="utf-8"))]
    return found


def test_json_has_the_same_keys(printed):
    documents = {name: same for name, same in printed.items() if not name.endswith(" csv")}
    pinned("The keys of a JSON output", keys_of(documents), table(JSON))
    for name, same in documents.items():
        several = {frozenset(one) for one in same if isinstance(one, dict)}
        assert len(several) <= 1, f"{name}: keys are there at one time and missing at another"


@pytest.mark.parametrize("name", ["coverage", "coverage --by", "report"])
def test_every_source_is_counted(printed, name):
    for one in printed[name]:
        found = {"sources": " ".join(sorted(one["sources"]))}
        pinned(f"{name}, sources", found, {"sources": " ".join(sorted(SOURCES))})


def test_csv_has_the_same_columns(printed):
    found = {name: same[0] for name, same in printed.items() if name.endswith(" csv")}
    pinned("The first line of a CSV output", found, table(CSV))
