"""Everything that can go wrong, named by its situation.

::

    PictureAuditError
    ├── SettingsError         a setting is missing or cannot be used         exit 2
    ├── UnreadableInputError  a file is not what it was taken for            exit 2
    ├── OutputError           a file cannot be written where it was asked    exit 2
    ├── TenantError           the tenant answered something unexpected       exit 2
    │   ├── UnreachableError  no answer at all
    │   ├── CredentialsError  the tenant does not accept the credentials
    │   ├── ScopeError        the token may not do this
    │   ├── MissingError      the tenant does not know what was asked for
    │   ├── QueryError        the tenant does not take this search query
    │   ├── SlowQueryError    the tenant gave up on a search query
    │   ├── BusyError         the tenant cannot answer now: the same again may work
    │   └── StaleError        too much time passed between reading and writing
    └── IncompleteError       it ended, and something is missing             exit 1

Messages say what happened and what to do next, in one or two lines. They never
carry a token, a secret, an e-mail address or a raw payload.
"""


class PictureAuditError(Exception):
    """Base of every error that this package raises on purpose."""

    exit_code = 2


class SettingsError(PictureAuditError):
    """A setting is missing or cannot be used."""


class UnreadableInputError(PictureAuditError):
    """A file is not what it was taken for."""


class OutputError(PictureAuditError):
    """A file cannot be written where it was asked for."""


class TenantError(PictureAuditError):
    """The tenant answered something that the toolkit does not expect."""


class UnreachableError(TenantError):
    """The tenant did not answer at all."""


class CredentialsError(TenantError):
    """The tenant does not accept the credentials."""


class ScopeError(TenantError):
    """The token lacks a scope that this work needs."""


class MissingError(TenantError):
    """The tenant does not know what was asked for."""


class QueryError(TenantError):
    """The tenant does not take this search query, or this change of a user.

    Attributes:
        code: Auth0's `errorCode`, such as `invalid_body`; empty where it names none.
    """

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class SlowQueryError(TenantError):
    """The tenant gave up on a search query: ask for less at a time."""


class BusyError(TenantError):
    """The tenant could not do it now: the same request, sent again later, may work."""


class StaleError(TenantError):
    """A write was not sent: what it rests on was read too long ago."""


class IncompleteError(PictureAuditError):
    """The work ended and something is missing; never a quiet success."""

    exit_code = 1
