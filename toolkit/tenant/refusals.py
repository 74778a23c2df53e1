"""What a refusal of the tenant means, and what to do.

Auth0's errors have a status, a sentence and mostly an `errorCode`. Many 403 are not about a scope
(seen: `rules_not_allowed`, `feature_not_enabled`, `insufficient_entitlement`). The endpoint of
tokens has `error` and `error_description` instead. Auth0's own sentence is always told, without
what may be secret or personal.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

import jwt

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
from toolkit.formatting import harmless

_SCOPE = re.compile(r"\b(?:read|update|create|delete):[a-z_]+\b")
_PAYMENT, _UNAUTHORIZED, _FORBIDDEN, _MISSING = 402, 401, 403, 404
_SERVER_ERROR, _UNAVAILABLE = 500, 503
_WRONG_REQUEST: Final = frozenset({400, 414, 431})  # or too long
_MAY_WORK_LATER: Final = frozenset({408, 409})  # besides 429, 500 and above
_GONE: Final = frozenset({400, 404, 410, 423, 451})  # said of a tenant, too
_TOO_MANY: Final = 429
_FORBIDDING: Final = frozenset({"feature_not_enabled", "rules_not_allowed"})  # with 400, too
_SHORTEST_SECRET = 8
_LONGEST = 200  # characters of Auth0's sentence that are shown

# What may be secret or personal in a sentence: tokens, long keys, e-mail addresses, user ids.
_PRIVATE = re.compile(
    r"eyJ[\w.-]+|(?=[\w+/=-]*[0-9])[\w+/=-]{24,}|[^\s@\"'<>]+@[^\s@\"'<>]+|[^\s|\"'<>]+\|[^\s\"'<>]+"
)
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,59}")
_NO_TENANT = re.compile(r"\btenant\b.*\b(?:exist|found|unknown)", re.IGNORECASE)
_URL = re.compile(r"https?://[a-z0-9.:-]+(?:/api/v2/?)?", re.IGNORECASE)

_GRANT: Final = (
    "under Applications → APIs → Auth0 Management API → Machine to Machine Applications in the "
    "dashboard"
)
_CUSTOM_DOMAIN: Final = (
    "AUTH0_DOMAIN seems to be a custom domain: set it to the tenant's own domain "
    "(TENANT.REGION.auth0.com), or AUTH0_AUDIENCE to https://TENANT.REGION.auth0.com/api/v2/."
)
_CREDENTIALS: Final = (
    "check AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET, that they are of this tenant, and "
    "AUTH0_DOMAIN, its region included."
)
_REGION: Final = "AUTH0_DOMAIN, its region included (TENANT.eu.auth0.com)"
ON_THE_WAY: Final = (
    "check AUTH0_DOMAIN, and whether a proxy, a firewall or a network's sign-in page answers in "
    "its place."
)
"""What to check where something else than Auth0 seems to answer."""

# Statuses by which a server that issues tokens refuses one (RFC 6749, 5.2; Auth0's is 403).
_REFUSES: Final = frozenset({400, 401, 403})
_NOT_GRANTED: Final = re.compile(
    r"not authorized to access|client-grant|not been granted", re.IGNORECASE
)

_JOBS: Final = re.compile(r"\bactive\b.*\bjobs?\b", re.IGNORECASE)
_UNDEPLOYED: Final = re.compile(r"\bnot (?:yet )?(?:been )?deployed\b", re.IGNORECASE)

# What a 402 or 403 without a scope is about: a word of its code or sentence, and what to do.
# The first row that fits decides.
_ABOUT: Final = tuple(
    (re.compile(words, re.IGNORECASE), advice)
    for words, advice in (
        (
            (
                r"suspend|deactivat|disabled tenant|tenant[_ ](?:(?:is|was|has been)[_ ])?"
                r"(?:paus|inactiv|disabl|lock|block|delet|remov|clos|expir)"
            ),
            (
                "the tenant is suspended, closed or deleted: its owner finds out why in Auth0's "
                "dashboard, or from Auth0's support."
            ),
        ),
        (
            r"rules_not_allowed|deprecated[ _]feature",
            (
                "the tenant has no access to a feature that Auth0 has ended, such as Rules "
                "(2026-11-18 by Auth0's schedule): Actions replace them."
            ),
        ),
        (
            r"entitle|\bplan\b|_plan|subscription|upgrade|payment|billing|quota|too_many_entities",
            (
                "the tenant's plan does not include it, or is used up: see Settings → "
                "Subscription in the dashboard."
            ),
        ),
        (
            r"feature|not_enabled|not enabled|not_supported|not supported",
            (
                "the feature is not switched on for this tenant: ask the tenant's administrator, "
                "or Auth0's support."
            ),
        ),
        (
            (
                r"\bip\b|\bip_|\bacl\b|blocked|blacklist|too_many_attempts|firewall|\bwaf\b"
                r"|error code: 10\d\d"  # Cloudflare's
            ),
            (
                "requests from here are blocked: ask the tenant's administrator about its lists of "
                "allowed and blocked addresses."
            ),
        ),
    )
)
_UNKNOWN: Final = "ask the tenant's administrator, who sees more under Monitoring → Logs."
# Lacking is said in other words, too, without the code.
_SCOPE_CODE: Final = "insufficient_scope"
_LACKS: Final = re.compile(r"\bscopes?\b|\bpermissions?\b", re.IGNORECASE)
# A client that proves itself by a key or a certificate (Auth0, "Application Credentials").
_KEY: Final = re.compile(
    r"client[_ ](?:assertion|certificate)|private_key_jwt|\bmtls\b|auth(?:entication)?[_ ]method",
    re.IGNORECASE,
)
# What Auth0 says of wrong credentials.
_WRONG: Final = re.compile(r"unauthori[sz]ed|\bclient|secret|credential", re.IGNORECASE)
# Some servers answer with the headers that they got: no sentence, and a token among them.
_ECHO: Final = re.compile(r"\b(?:authorization|cookie)['\"]?\s*[:,]", re.IGNORECASE)
_CITES: Final = re.compile(r"[\"'`“”:=]")


def quoted(text: object, hide: Iterable[str] = ()) -> str:
    """Return a sentence of the tenant in quotation marks, without what may be secret; or ""."""
    if not isinstance(text, str) or _ECHO.search(text):
        return ""
    for secret in hide:
        # A shorter one is none, and would be found in ordinary words.
        text = text.replace(secret, "…") if len(secret) >= _SHORTEST_SECRET else text
    kept = " ".join(harmless(_PRIVATE.sub("…", text)).split()).strip()
    kept = kept if len(kept) <= _LONGEST else f"{kept[:_LONGEST]}…"
    return f"“{kept}”" if kept else ""


def scope_error(domain: str, missing: Iterable[str], *, any_of: bool = False) -> ScopeError:
    """Say which scopes a token lacks, or of which it needs one, and where they are granted."""
    names = (" or " if any_of else " ").join(missing)
    return ScopeError(
        f"The token for {domain} lacks {names}: grant it to the application {_GRANT}, "
        "then run again."
    )


def is_job_limit(body: object) -> bool:
    """Whether an answer says that as many jobs run as the tenant allows."""
    return _JOBS.search(str(_told(body)[1])) is not None


def refusal(
    domain: str,
    status: int,
    body: object,
    *,
    token: str = "",
    renewable: bool = False,
    hide: Iterable[str] = (),
) -> TenantError:
    """Return the error for an answer of the Management API that is no success.

    Args:
        domain: the tenant's.
        status: HTTP's.
        body: JSON as it came, or anything else.
        token: the token that was sent: its claims say which tenant issued it.
        renewable: whether it was fetched with the client's credentials.
        hide: what must not be shown.
    """
    code, message = _told(body)
    sentence = quoted(message, hide)
    scopes = list(dict.fromkeys(_SCOPE.findall(message)))
    if status == _UNAUTHORIZED:
        return CredentialsError(_token_words(domain, message, sentence, token, renewable))
    if is_job_limit(body):
        return JobLimitError(
            f"{domain} runs as many jobs as it allows (HTTP {status}): wait until they are "
            "finished, or read the users with --method search."
        )
    if status == _FORBIDDEN and scopes:
        return scope_error(domain, scopes, any_of="any of" in message)
    closed = status in _GONE and _ABOUT[0][0].search(f"{code} {message}")
    if status in {_PAYMENT, _FORBIDDEN} or code in _FORBIDDING or closed:
        other = _advice(code, message, "")
        lacks = code == _SCOPE_CODE or (not other and _LACKS.search(message))
        advice = f"grant the application what `--help` of the command lists, {_GRANT}."
        words = _refused(domain, status, code, sentence, advice if lacks else "")
        return ScopeError(words) if lacks else ForbiddenError(words)
    if status in _WRONG_REQUEST:
        kind = UndeployedError if _UNDEPLOYED.search(message) else QueryError
        told = f"HTTP {status}{code and f' {code}'}"
        # What a sentence cites may be what was sent, such as a name.
        said = f" and says {sentence}" if sentence and not _CITES.search(message) else ""
        return kind(f"{domain} refused a request ({told}){said}.", code)
    return _by_status(domain, status, message)


def _by_status(domain: str, status: int, message: str) -> TenantError:
    if status == _MISSING and _NO_TENANT.search(message):
        return CredentialsError(f"{domain} knows no tenant of that name: check {_REGION}.")
    if status == _UNAVAILABLE and "timeout" in message:
        return SlowQueryError(f"{domain} did not finish a query in time (HTTP {status}).")
    again = status in _MAY_WORK_LATER or status >= _SERVER_ERROR
    usual = (
        (BusyError, f"answered HTTP {status}. Try again later.")
        if again
        else (TenantError, f"answered something else than data (HTTP {status}): {ON_THE_WAY}")
    )
    kind, text = _MEANINGS.get(status, usual)
    return kind(f"{domain} {text}")


_MEANINGS: dict[int, tuple[type[TenantError], str]] = {
    _MISSING: (
        MissingError,
        f"does not know what was asked for (HTTP 404): if it should, check {_REGION}.",
    ),
    _TOO_MANY: (
        BusyError,
        (
            "keeps answering that there are too many requests (HTTP 429): other clients use up its "
            "rate limit. Try again later, or with a lower --rate."
        ),
    ),
}


def token_refusal(
    domain: str, status: int, body: object, *, audience: bool = False, hide: Iterable[str] = ()
) -> TenantError:
    """Return the error for an answer of `/oauth/token` that is no success.

    `audience` is whether AUTH0_AUDIENCE is set.
    """
    code, message = _told(body)
    sentence = quoted(message, hide)
    lower = message.lower()
    told = f"{domain} gives no token (HTTP {status}{code and f' {code}'})"
    if "service not enabled" in lower or "service not found" in lower:
        advice = (
            "AUTH0_AUDIENCE is not this tenant's Management API: "
            "it is https://TENANT.REGION.auth0.com/api/v2/, with the tenant's own domain, not a "
            "custom domain."
            if audience
            else _CUSTOM_DOMAIN
        )
        return CredentialsError(f"{told}, {sentence}. {advice}")
    if _NOT_GRANTED.search(message):
        advice = f"the application is not authorised for the Management API: authorise it {_GRANT}."
    elif "grant type" in lower or code in {"unauthorized_client", "unsupported_grant_type"}:
        advice = (
            "the application may not use client credentials: use one of the type Machine to "
            "Machine."
        )
    elif _KEY.search(message):
        advice = (
            "the application does not prove itself by a secret: set it to Client Secret under "
            "Applications → your application → Credentials, or put a token into AUTH0_TOKEN."
        )
    elif _NO_TENANT.search(message):
        advice = f"no tenant has that name: check {_REGION}."
    elif status >= _SERVER_ERROR or status == _TOO_MANY:
        why = _advice(code, message, "")
        return TenantError(
            f"{domain} cannot issue a token now (HTTP {status}{code and f' {code}'})"
            f"{sentence and f', {sentence}'}{f': {why}' if why else '. Try again later.'}"
        )
    else:
        advice = _advice(code, message, _no_token(status, code, message))
    return CredentialsError(f"{told}{sentence and f', {sentence}'}: {advice}")


def _no_token(status: int, code: str, message: str) -> str:
    """Say what to do where the sentence is about nothing in particular.

    `access_denied` is said of wrong credentials, and also where an Action denies a token.
    """
    if status == _MISSING:
        return f"no tenant has that name: check {_REGION}."
    if status not in _REFUSES:
        return ON_THE_WAY
    if not message.strip() or code == "invalid_client" or _WRONG.search(message):
        return _CREDENTIALS
    return f"if it is not clear, {_CREDENTIALS[:-1]}; else {_UNKNOWN}"


def _told(body: object) -> tuple[str, str]:
    """Return the code and the sentence of an error's body; "" where there is none."""
    if not isinstance(body, Mapping):
        return "", body if isinstance(body, str) else ""
    if isinstance(inner := body.get("error"), Mapping):
        body = inner
    # In answers of the Management API, `error` is only the name of the status.
    code = body.get("errorCode") or (None if "statusCode" in body else body.get("error"))
    code = code or body.get("code")
    # The last ones are those of gateways and proxies.
    names = ("message", "error_description", "description", "Message", "detail", "title")
    message = next((text for name in names if (text := body.get(name))), None)
    fits = isinstance(code, str) and _CODE.fullmatch(code) and not _PRIVATE.search(code)
    return str(code).lower() if fits else "", message if isinstance(message, str) else ""


def _advice(code: str, message: str, otherwise: str) -> str:
    about = f"{code} {_URL.sub('', message)}"
    return next((advice for words, advice in _ABOUT if words.search(about)), otherwise)


def _refused(domain: str, status: int, code: str, sentence: str, advice: str = "") -> str:
    told = f"HTTP {status}{code and f' {code}'}"
    said = f" and says {sentence}" if sentence else " and does not say why"
    return f"{domain} refuses ({told}){said}: {advice or _advice(code, sentence, _UNKNOWN)}"


def _token_words(domain: str, message: str, sentence: str, token: str, renewable: bool) -> str:
    issuer, lower = _issuer(token), message.lower()
    told = f"{domain} does not accept the token (HTTP 401{sentence and f', {sentence}'})"
    if "audience" in lower:
        return (
            f"{told}: it is for another API than https://TENANT.REGION.auth0.com/api/v2/. "
            "Take a token for the Management API; with a custom domain set AUTH0_AUDIENCE."
        )
    if issuer and issuer != domain.lower().partition(":")[0]:
        return (
            f"{told}: {issuer} issued it, so set AUTH0_DOMAIN to that tenant, or use a token of "
            f"{domain}."
        )
    if renewable:
        return f"{told}, although it is new: check {_REGION}, and AUTH0_AUDIENCE if that is set."
    if "expired" in lower:
        return f"{told}: it has expired, so put a new one into AUTH0_TOKEN."
    if "signature" in lower or "issuer" in lower:
        return f"{told}: another tenant issued it, so check {_REGION}, and AUTH0_TOKEN."
    return f"{told}: check AUTH0_TOKEN, or that it has not expired."


def _issuer(token: str) -> str:
    """Return the host that issued a token, by its own words; "" where it does not say."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return ""
    found = re.fullmatch(r"https?://([a-z0-9.-]{1,253})(?::[0-9]+)?/?", str(claims.get("iss")))
    return found[1] if found else ""
