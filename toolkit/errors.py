"""The errors, named by their situation.

Messages say what happened and what to do next, in one or two lines. They never contain a token, a
secret, an e-mail address or a raw payload. Commands end with the `exit_code` of the class.
"""


class PictureAuditError(Exception):
    """Base of every error that this package raises on purpose."""

    exit_code = 2

    def _render_traceback_(self) -> list[str]:
        """Return what notebooks show instead of a traceback (a hook of IPython)."""
        return [f"Error: {self}"]


class SettingsError(PictureAuditError):
    """A setting is missing or cannot be used."""


class UnreadableInputError(PictureAuditError):
    """A file cannot be read, or is of another kind."""


class OutputError(PictureAuditError):
    """A file cannot be written where it was asked for."""


class TenantError(PictureAuditError):
    """The tenant answered something that the toolkit does not expect."""


class UnreachableError(TenantError):
    """The tenant did not answer at all."""


class CredentialsError(TenantError):
    """The tenant does not accept the credentials."""


class ForbiddenError(TenantError):
    """The tenant does not allow it: a scope, a feature, the plan, or the tenant is suspended."""


class ScopeError(ForbiddenError):
    """The token lacks a scope that this work needs."""


class MissingError(TenantError):
    """The tenant does not know what was asked for."""


class QueryError(TenantError):
    """The tenant does not take this search query, or this change of a user.

    Attributes:
        code: Auth0's `errorCode`, such as `invalid_body`, or "".
    """

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class UndeployedError(QueryError):
    """The tenant does not bind an Action yet, as it does not know of its deployment."""


class SlowQueryError(TenantError):
    """The tenant gave up on a search query: ask for less at a time."""


class BusyError(TenantError):
    """The tenant could not do it now: the same request, sent again later, may work."""


class JobLimitError(BusyError):
    """As many jobs run at the tenant as it allows."""


class StaleError(TenantError):
    """A write was not sent, because too much time passed since its data was read."""


class IncompleteError(PictureAuditError):
    """The work ended and something is missing."""

    exit_code = 1
