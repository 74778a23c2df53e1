"""What we believe about Auth0 without having seen it, one row each, and how to see it.

A row is INFERRED (from other facts) or UNKNOWN (nobody wrote it down); the sandbox had to choose
something, and that is what is `expected`. To add a fact, add a row. Its check gets the tenant with
made-up users in it, and returns in a few words what it saw: our own words, nothing of the answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from toolkit.sandbox.conformance import fact_checks

PEOPLE: Final[Mapping[str, Mapping[str, Any]]] = {
    "plain": {},
    "three words": {"name": "Anna Berta Clara"},
    "accent": {"name": "Émile Zola"},
    "other script": {"name": "王小明"},
    "renamed": {"name": "Rosa Luz"},
    "moved": {},
    "emptied": {},
    "noted": {"user_metadata": {"note": "made up"}},
    "worded": {},
}
"""The made-up users: what each fact needs, and no fact changes the user of another."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that we believe about Auth0.

    Attributes:
        id: its name.
        belief: what we believe, in one sentence.
        source: what it rests on, or why nobody knows.
        expected: what the check sees at the sandbox.
        check: looks at a tenant; None if that cannot be done with a token for machines.
        reason: why there is no check.
    """

    id: str
    belief: str
    source: str
    expected: str = ""
    check: fact_checks.Check | None = None
    reason: str = ""


_LOGIN = "somebody would have to log in"
_ACTION = "it would take an Action of its own at the tenant"
_LIMIT = "the tenant's rate limit would have to be used up, for everybody"
_OTHER_HOST = "only the tenant is asked, and this is about gravatar.com"
_REFUSED_PICTURE = "HTTP 400 invalid_body"

FACTS: Final = (
    Fact(
        "new-user-picture",
        "A new database user's picture is a Gravatar with letters behind it.",
        "84 of 84 recorded users; the rule that recognises it is INFERRED from them",
        "s.gravatar.com, MD5 of the address, letters behind it",
        fact_checks.new_picture,
    ),
    Fact(
        "letters-of-three-words",
        "Of a name of three words the letters are those of the first two.",
        "UNKNOWN: no recorded user has such a name",
        "ab",
        fact_checks.letters("three words"),
    ),
    Fact(
        "letters-with-accents",
        "If the name begins with an accent, the letters are those of the e-mail address.",
        "UNKNOWN: no recorded user has such a name",
        "pi",
        fact_checks.letters("accent"),
    ),
    Fact(
        "letters-of-other-scripts",
        "If the name is in another script, the letters are those of the e-mail address.",
        "UNKNOWN: no recorded user has such a name",
        "pi",
        fact_checks.letters("other script"),
    ),
    Fact(
        "picture-after-new-name",
        "A new name leaves the picture as it is.",
        "UNKNOWN: recorded for a new username only",
        "the same picture",
        fact_checks.renamed,
    ),
    Fact(
        "picture-after-new-email",
        "A new e-mail address leaves the picture as it is.",
        "UNKNOWN: recorded for a new username only",
        "the same picture",
        fact_checks.moved,
    ),
    Fact(
        "picture-null",
        "A null as the picture of a database user is refused.",
        "UNKNOWN: two pages of Auth0's documentation disagree",
        "HTTP 400 operation_not_supported",
        fact_checks.emptied,
    ),
    Fact(
        "picture-without-scheme",
        "An address without https:// is refused as a picture.",
        "INFERRED from the error's text (format strict-uri)",
        _REFUSED_PICTURE,
        fact_checks.worded("www.example.com/conform"),
    ),
    Fact(
        "picture-without-domain",
        "An address at a host without a domain is refused as a picture.",
        "INFERRED from the error's text (format strict-uri)",
        _REFUSED_PICTURE,
        fact_checks.worded("http://localhost/conform"),
    ),
    Fact(
        "last-key-of-metadata",
        "Without its last key, user_metadata is gone.",
        "INFERRED: recorded is only that a null removes a key",
        "no user_metadata",
        fact_checks.note_removed,
    ),
    Fact(
        "created-at-stays",
        "A change of a user leaves created_at as it is.",
        "INFERRED from its name; the search for all users relies on it",
        "the same",
        fact_checks.created_at,
    ),
    Fact(
        "created-at-walk",
        "Sorted by created_at, a search finds all users of a span, oldest first.",
        "INFERRED from the same with updated_at, which a public program uses",
        "all of them, in order",
        fact_checks.walk,
    ),
    Fact(
        "user-id-wildcard",
        "A wildcard in user_id is refused.",
        "UNKNOWN: not documented",
        "HTTP 400 invalid_query_string",
        fact_checks.refused("user_id:auth0\\|picture-audit-conform-RUN*"),
    ),
    Fact(
        "user-id-range",
        "A range of user_id is refused.",
        "UNKNOWN: not documented",
        "HTTP 400 invalid_query_string",
        fact_checks.refused(
            'user_id:["auth0|picture-audit-conform-RUN-01" TO "auth0|picture-audit-conform-RUN-99"]'
        ),
    ),
    Fact(
        "users-a-page",
        "A page of users has 100 at most.",
        "UNKNOWN: Auth0's API description says 100, a page of its documentation 50",
        "100: HTTP 200; 101: HTTP 400 invalid_query_string",
        fact_checks.per_page,
    ),
    Fact(
        "last-page",
        "A page that would go past 1,000 is refused, although it begins before.",
        "INFERRED from other lists; measured only for sizes that divide 1,000",
        "page 32: HTTP 200; page 33: HTTP 400 invalid_paging",
        fact_checks.last_page,
    ),
    Fact(
        "total-stops",
        "The total of a search stops at 1,000.",
        "INFERRED: one public program says so",
        "it stops at 1,000",
        fact_checks.total,
    ),
    Fact(
        "export-file-name",
        "The name of an export's file ends in .json.gz.",
        "INFERRED from that of a CSV export",
        ".json.gz",
        fact_checks.file_name,
    ),
    Fact(
        "export-packed",
        "The file of an export is gzip, whatever it is called.",
        "INFERRED from that of a CSV export",
        "gzip",
        fact_checks.packed,
    ),
    Fact(
        "export-location",
        "An export names one file.",
        "UNKNOWN: no source says whether there can be several",
        "one text",
        fact_checks.location,
    ),
    Fact(
        "export-without-limit",
        "Without a limit an export has everybody.",
        "UNKNOWN: Auth0's API description shows a limit of 5 as its example",
        "everybody",
        fact_checks.everybody,
    ),
    Fact(
        "exports-at-once",
        "A second export may start while the first one runs.",
        "UNKNOWN: a limit is documented for imports only",
        "HTTP 200",
        lambda scratch: scratch.export.second,
    ),
    Fact(
        "job-missing",
        "A job that does not exist is answered with 404.",
        "INFERRED from other things that do not exist",
        "HTTP 404 inexistent_job",
        fact_checks.absent("jobs/job_0000000000000000"),
    ),
    Fact(
        "connection-missing",
        "A connection that does not exist is answered with 404.",
        "INFERRED from other things that do not exist",
        "HTTP 404 inexistent_connection",
        fact_checks.absent("connections/con_0000000000000000"),
    ),
    Fact(
        "rules-after-their-end",
        "Rules are still listed after 2026-11-18.",
        "UNKNOWN: by Auth0's schedule they ended; nobody wrote what is answered since",
        "HTTP 200",
        fact_checks.rules,
    ),
    # What a token for machines cannot show
    Fact(
        "export-in-parts",
        "A large export is one file, too.",
        "UNKNOWN: no source says whether it is divided",
        reason="it would take hundreds of thousands of users",
    ),
    Fact(
        "picture-without-email",
        "Users without an e-mail address have their letters from cdn.auth0.com, without Gravatar.",
        "INFERRED for SMS, usernames and hidden addresses; recorded for Azure AD",
        reason="a made-up phone number could be somebody's, and usernames need other settings",
    ),
    Fact(
        "picture-of-apple-relay",
        "A login by Apple gives a Gravatar of the relay address.",
        "INFERRED from the documentation of `picture`",
        reason=_LOGIN,
    ),
    Fact(
        "pictures-of-other-providers",
        "Slack, Discord, VK, Yandex, Salesforce, Spotify, Bitbucket and Amazon use the hosts that "
        "the table of rules names.",
        "INFERRED: the hosts are known, but from no user of Auth0",
        reason=_LOGIN,
    ),
    Fact(
        "last-claim-wins",
        "If two Actions set the claim picture, the later one wins.",
        "INFERRED",
        reason=_LOGIN,
    ),
    Fact(
        "action-that-fails",
        "An error in an Action that nobody catches makes the login fail.",
        "UNKNOWN",
        reason=_LOGIN,
    ),
    Fact(
        "action-of-the-same-name",
        "A second Action of one name is taken.",
        "UNKNOWN: Auth0's API description lists no refusal",
        reason=_ACTION,
    ),
    Fact(
        "deployment-status",
        "A deployment is answered with 200.",
        "UNKNOWN: documented is 202, recorded 200; both are accepted",
        reason=_ACTION,
    ),
    Fact(
        "binding-out-of-date",
        "A list of bindings with an id that is no longer in it is refused.",
        "INFERRED: each change of the list gives new ids",
        reason=f"{_ACTION}, and change what runs at logins",
    ),
    Fact(
        "gravatar-head",
        "Gravatar answers HEAD as it answers GET.",
        "UNKNOWN: not seen lately; picture-audit probe tries it before it relies on it",
        reason=_OTHER_HOST,
    ),
    Fact(
        "gravatar-caching",
        "Gravatar's answers may be kept for a while.",
        "UNKNOWN: no answer is recorded; nothing relies on it",
        reason=_OTHER_HOST,
    ),
    Fact(
        "refusals-say-when",
        "A 429 has rate-limit headers and no Retry-After.",
        "INFERRED from Auth0's API description; either is understood",
        reason=_LIMIT,
    ),
    Fact(
        "limits-refill",
        "What the rate limit allows comes back evenly, not all at once.",
        "UNKNOWN: two wordings on one page of Auth0's documentation; nothing relies on it",
        reason=_LIMIT,
    ),
)
"""Every fact, in the order in which they are tried."""
