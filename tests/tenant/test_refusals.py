"""What a tenant says, told right: which cause, what to do, and nothing that is secret."""

import json

import jwt
import pytest

from tests.lying import TOKEN, Liar, whole
from toolkit.errors import (
    BusyError,
    CredentialsError,
    ForbiddenError,
    JobLimitError,
    MissingError,
    QueryError,
    ScopeError,
    SlowQueryError,
    TenantError,
    UndeployedError,
)
from toolkit.tenant.client import connect
from toolkit.tenant.credentials import Settings
from toolkit.tenant.refusals import is_job_limit, quoted, refusal, scope_error, token_refusal

DOMAIN = "tenant.eu.auth0.com"
KEY = "0123456789abcdef0123456789abcdef"


def said(status, message=None, code=None, **options):
    """Return the error for an answer of the Management API."""
    body = {"statusCode": status, "error": "Forbidden", "message": message, "errorCode": code}
    kept = {key: value for key, value in body.items() if value is not None}
    return refusal(DOMAIN, status, kept, **options)


FORBIDDEN = {
    ("This tenant has been suspended", "tenant_suspended"): "tenant is suspended, closed or",
    ("This tenant has been paused", "tenant_paused"): "tenant is suspended, closed or",
    ("No access", "tenant_deleted"): "tenant is suspended, closed or deleted: its owner",
    ("Blocked by WAF", None): "requests from here are blocked",
    ("Insufficient privileges to use this deprecated feature", "rules_not_allowed"): (
        "2026-11-18 by Auth0's schedule"
    ),
    ("The feature is not enabled for this tenant", "feature_not_enabled"): "not switched on",
    ("This operation is not supported", "operation_not_supported"): "not switched on",
    ("Please upgrade your subscription", "insufficient_entitlement"): "Settings → Subscription",
    ("You reached the limit of entities of this type.", "too_many_entities"): "plan does not",
    ("Your IP is not allowed", "ip_blocked"): "allowed and blocked addresses",
    ("The moon is in the wrong house", "moon_phase"): "Monitoring → Logs",
    ("User to be acted on does not match subject in bearer token.", "invalid_subject"): "Logs",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_a_403_is_told_by_what_it_is_about_with_auth0s_own_sentence(what):
    message, code = what
    error = said(403, message, code)
    assert type(error) is ForbiddenError
    assert FORBIDDEN[what] in str(error)
    assert f"HTTP 403 {code}" in str(error) or code is None
    assert f"“{message}”" in str(error)
    assert "scope" not in str(error)


@pytest.mark.parametrize("body", [None, "", " ", [], {}, {"message": 5, "errorCode": {"a": 1}}])
def test_a_403_without_words_is_no_riddle(body):
    error = refusal(DOMAIN, 403, body)
    assert type(error) is ForbiddenError
    assert "does not say why" in str(error)
    assert "Monitoring → Logs" in str(error)


def test_a_refusal_that_is_no_json_is_told_as_it_came():
    told = str(refusal(DOMAIN, 403, "error code: 1020\n"))
    assert "says “error code: 1020”" in told
    assert "requests from here are blocked" in told


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": "odd", "message": "Not today"}},
        {"code": "odd", "description": "Not today"},
        {"errorCode": "odd", "detail": "Not today"},
        {"error": "odd", "error_description": "Not today"},
    ],
)
def test_words_are_found_in_each_form_of_an_error(body):
    assert "(HTTP 403 odd) and says “Not today”" in str(refusal(DOMAIN, 403, body))
    assert "(HTTP 403 odd), “Not today”" in str(token_refusal(DOMAIN, 403, body))


@pytest.mark.parametrize("status", [400, 404, 410, 423, 451])
def test_a_tenant_that_is_gone_is_told_by_any_status(status):
    error = said(status, "The tenant has been deleted")
    assert type(error) is ForbiddenError
    assert "tenant is suspended, closed or deleted" in str(error)


@pytest.mark.parametrize("status", [200, 204, 304, 405, 421, 451])
def test_what_auth0_does_not_answer_is_not_said_to_pass(status):
    told = str(refusal(DOMAIN, status, ""))
    assert f"something else than data (HTTP {status}): check AUTH0_DOMAIN" in told
    assert "later" not in told


def test_a_sentence_of_400_is_told_unless_it_may_cite_what_was_sent():
    assert "and says “Tenant is not valid”" in str(said(400, "Tenant is not valid"))
    cited = said(400, "Query validation error: 'Bo Svensson' is not valid", "invalid_query_string")
    assert str(cited) == f"{DOMAIN} refused a request (HTTP 400 invalid_query_string)."


def test_a_missing_scope_is_named_with_the_place_to_grant_it():
    one = said(403, "Insufficient scope, expected any of: read:users.", "insufficient_scope")
    assert type(one) is ScopeError
    assert f"The token for {DOMAIN} lacks read:users" in str(one)
    assert "Machine to Machine Applications" in str(one)
    any_of = said(403, "Insufficient scope, expected any of: create:users,read:users")
    assert "lacks create:users or read:users" in str(any_of)
    assert "lacks read:a read:b" in str(scope_error(DOMAIN, ["read:a", "read:b"]))


def test_a_scope_that_is_not_named_is_not_claimed_to_be_missing():
    error = said(403, "Insufficient scope", "insufficient_scope")
    assert type(error) is ScopeError
    assert "lacks" not in str(error)
    assert "--help" in str(error)
    assert type(said(403, "You do not have the permission to do this")) is ScopeError
    assert type(said(403, "The tenant is suspended: no permission")) is ForbiddenError


def test_a_feature_may_be_refused_with_400_too():
    assert type(said(400, "Not here", "feature_not_enabled")) is ForbiddenError
    assert type(said(402, "Payment is due", "payment_required")) is ForbiddenError


def token_of(issuer):
    return jwt.encode({"iss": issuer}, KEY)


UNAUTHORIZED = {
    ("Bad audience: https://login.example.com/api/v2/", ""): "AUTH0_AUDIENCE",
    ("Expired token received for JSON Web Token validation", ""): "put a new one into AUTH0_TOKEN",
    ("Invalid signature received for JSON Web Token validation", ""): "another tenant issued it",
    ("Invalid token", ""): "check AUTH0_TOKEN",
    ("Invalid token", token_of("https://tenant.us.auth0.com/")): "tenant.us.auth0.com issued it",
    ("Invalid token", token_of(f"https://{DOMAIN}/")): "check AUTH0_TOKEN",
    ("Invalid token", token_of("here")): "check AUTH0_TOKEN",
    ("Invalid token", "opaque"): "check AUTH0_TOKEN",
}


@pytest.mark.parametrize("what", UNAUTHORIZED)
def test_a_token_that_is_not_accepted_is_told_by_its_cause(what):
    message, token = what
    error = said(401, message, token=token)
    assert type(error) is CredentialsError
    assert UNAUTHORIZED[what] in str(error)
    assert not token or token not in str(error)


def test_a_token_that_was_just_fetched_is_not_said_to_be_the_users():
    told = str(said(401, "Invalid token", renewable=True))
    assert "although it is new: check AUTH0_DOMAIN" in told
    assert "AUTH0_TOKEN" not in told


def test_a_tenant_that_does_not_exist_there_is_no_user_who_is_missing():
    error = said(404, "Tenant does not exist.")
    assert type(error) is CredentialsError
    assert "its region included" in str(error)


@pytest.mark.parametrize("code", [5, "a b", KEY, f"key_{KEY}", "x" * 99])
def test_what_is_no_code_is_not_shown_as_one(code):
    assert "(HTTP 403)" in str(said(403, "No", code))


OTHERS = {
    (404, "The user does not exist.", "inexistent_user"): MissingError,
    (429, "Global limit has been reached", "too_many_requests"): BusyError,
    (503, "The query exceeded the timeout.", None): SlowQueryError,
    (503, "Service unavailable", None): BusyError,
    (500, None, None): BusyError,
    (409, None, None): BusyError,
    (418, None, None): TenantError,
    (400, "Payload validation error", "invalid_body"): QueryError,
    (414, None, None): QueryError,
    (
        400,
        "Trying to create a binding for an action that has not been deployed yet",
        None,
    ): UndeployedError,
    (429, "There are 4 active export jobs: wait.", "too_many_requests"): JobLimitError,
    (403, "There are 2 active users jobs", "too_many_jobs"): JobLimitError,
    (428, "There are 4 active import users jobs", "too_many_requests"): JobLimitError,
}


@pytest.mark.parametrize("what", OTHERS)
def test_each_other_refusal_is_its_own_error(what):
    assert type(said(*what)) is OTHERS[what]


def test_only_jobs_that_run_are_a_limit_of_jobs():
    assert is_job_limit({"message": "There are 2 active jobs"})
    assert not is_job_limit({"message": "Too many requests"})
    assert not is_job_limit(["There are 2 active jobs"])


CUSTOM = "Service not enabled within domain: https://login.example.com/api/v2/"
NO_GRANT = (
    'Client is not authorized to access "https://tenant.eu.auth0.com/api/v2/". You need to create '
    'a "client-grant" associated to this API.'
)
TOKENS = {
    (403, "access_denied", CUSTOM): "custom domain: set it to the tenant's own domain",
    (403, "access_denied", "Service not found: https://a.example/api/v2/"): "custom domain",
    (403, "access_denied", NO_GRANT): "not authorised for the Management API: authorise it under",
    (
        403,
        "unauthorized_client",
        "Grant type 'client_credentials' not allowed for the client.",
    ): "type Machine to Machine",
    (401, "access_denied", "Unauthorized"): "AUTH0_CLIENT_SECRET, that they are of this tenant",
    (401, "invalid_client", None): "its region included",
    (403, "access_denied", "This tenant is suspended"): "the tenant is suspended",
    (403, "access_denied", "Client has not been granted scopes: read:users"): "not authorised for",
    (401, "invalid_client", "Client assertion is required"): "does not prove itself by a secret",
    (401, "invalid_client", "Client certificate required"): "does not prove itself by a secret",
    (403, "access_denied", "Only from the office, says an Action"): "Monitoring → Logs",
    (401, "too_many_attempts", "Try again later"): "requests from here are blocked",
    (405, None, None): "whether a proxy, a firewall",
    (403, "access_denied", "Requests from this IP are blocked"): "blocked addresses",
    (404, None, None): "no tenant has that name",
    (403, "access_denied", "Tenant does not exist."): "no tenant has that name",
    (403, "odd", "Something else"): "“Something else”",
    (403, None, None): "check AUTH0_CLIENT_ID",
}


@pytest.mark.parametrize("what", TOKENS)
def test_why_there_is_no_token_is_told_by_its_cause(what):
    status, code, text = what
    body = {"error": code, "error_description": text}
    error = token_refusal(DOMAIN, status, body)
    assert type(error) is CredentialsError
    assert TOKENS[what] in str(error)
    assert f"HTTP {status}" in str(error)


def test_an_audience_that_was_set_is_what_is_wrong():
    body = {"error": "access_denied", "error_description": CUSTOM}
    told = str(token_refusal(DOMAIN, 403, body, audience=True))
    assert "AUTH0_AUDIENCE is not this tenant's Management API" in told


def test_a_tenant_that_is_busy_is_not_said_to_refuse_the_credentials():
    for status in (429, 500):
        error = token_refusal(DOMAIN, status, {})
        assert type(error) is TenantError
        assert str(error).endswith("Try again later.")
    quota = {"error": "access_denied", "error_description": "M2M quota exceeded"}
    assert "Settings → Subscription" in str(token_refusal(DOMAIN, 429, quota))


@pytest.mark.parametrize(
    "text",
    [
        f"The key {KEY} is wrong",
        f"Token {token_of('x')} is wrong",
        "User bo@example.com is wrong",
        "User google-oauth2|1234 is wrong",
        "The secret hunter-22 is wrong",
    ],
)
def test_nothing_that_may_be_secret_is_quoted(text):
    told = quoted(text, hide=("hunter-22", "is", ""))
    assert told.endswith("… is wrong”")
    assert str(said(403, text, "moon_phase", hide=("hunter-22",))).count(told) == 1


def test_an_answer_that_repeats_our_headers_is_not_quoted():
    assert quoted("Host: a.example Accept: */* Authorization: Bearer x.y.z") == ""
    assert quoted("[('authorization', 'Bearer x')]") == ""
    assert quoted("Missing authorization header") == "“Missing authorization header”"


def test_what_is_quoted_is_short_one_line_and_moves_no_cursor():
    told = quoted("a\nb\x1b[31m" + "word " * 100)
    assert "\n" not in told
    assert "\x1b" not in told
    assert len(told) < 210
    assert quoted(None) == quoted("  ") == ""


def serving(token, users):
    return lambda asked: [token if "/oauth/token" in asked else users]


def body(values, status):
    return whole(json.dumps(values), status=f"{status} Said")


def test_over_the_wire_a_custom_domain_and_a_suspended_tenant_are_told(no_credentials):
    given = {"client_id": "id", "client_secret": "hunter-22"}
    refused = body({"error": "access_denied", "error_description": f"{CUSTOM} hunter-22"}, 403)
    suspended = {"statusCode": 403, "message": "This tenant has been suspended", "errorCode": "x_y"}
    with Liar(serving(refused, b"")) as liar:
        with pytest.raises(CredentialsError, match="custom domain") as raised:
            connect(Settings(_env_file=None, domain=liar.base_url, **given))
        assert "hunter-22" not in str(raised.value)
    with (
        Liar(serving(TOKEN, body(suspended, 403))) as liar,
        connect(Settings(_env_file=None, domain=liar.base_url, **given)) as tenant,
        pytest.raises(ForbiddenError, match="tenant is suspended"),
    ):
        tenant.search("name:Bo")


def test_a_tenant_with_too_many_jobs_is_asked_once_and_not_waited_for(no_credentials):
    limit = {"statusCode": 429, "message": "There are 4 active export jobs", "errorCode": "x"}
    settings = {"client_id": "id", "client_secret": "secret"}
    with (
        Liar(serving(TOKEN, body(limit, 429))) as liar,
        connect(Settings(_env_file=None, domain=liar.base_url, **settings)) as tenant,
        pytest.raises(JobLimitError, match="--method search"),
    ):
        tenant.start_export()
    assert len(liar.requests) == 2
