"""What the Management API answers instead of a result.

Facts: the error bodies are those of Auth0's API description and of recordings of the API.
"""

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus

from starlette.responses import Response

_TIMEOUT = (
    "The query exceeded the timeout. Please try refining your search criteria. "
    "See https://auth0.com/docs/best-practices/search-best-practices."
)


class Problem(Exception):  # noqa: N818 - it is an answer before it is an error
    """A refusal with Auth0's JSON body."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """Return the answer to send."""
        body: dict[str, object] = {
            "statusCode": self.status,
            "error": HTTPStatus(self.status).phrase,
            "message": self.message,
        }
        if self.code:
            body["errorCode"] = self.code
        if self.message == "Invalid token":
            body["attributes"] = {"error": self.message}
        response = json_response(json.dumps(body), self.status)
        response.headers.update(self.headers)
        return response


def json_response(text: str, status: int = 200) -> Response:
    """Return an answer whose body is this JSON text."""
    return Response(text, status, media_type="application/json; charset=utf-8")


def on_property(wrong: str, name: str = "", about: str = "") -> str:
    """Return how Auth0 says what is wrong with a property, and what the property is about.

    Without a name the whole is wrong.
    """
    about = about.removesuffix(".")
    place = f" on property {name}" + (f" ({about})" if about else "")
    return f"'{wrong}'{place if name else ''}."


def bad_query(*wrong: str) -> Problem:
    """Return the refusal of query parameters, one text for each error."""
    return Problem(400, _also("Query validation error: ", wrong), "invalid_query_string")


def bad_body(*wrong: str) -> Problem:
    """Return the refusal of a request's body, one text for each error."""
    return Problem(400, _also("Payload validation error: ", wrong), "invalid_body")


def _also(kind: str, wrong: Iterable[str]) -> str:
    return " (also) ".join(kind + one for one in wrong)


def invalid_body(*_: str) -> Problem:
    """Return the refusal of a body by the Actions API, which never says what is wrong."""
    return Problem(400, "Invalid Request Body.")


def no_such_user() -> Problem:
    """Return the refusal to find a user."""
    return Problem(404, "The user does not exist.", "inexistent_user")


def too_slow() -> Problem:
    """Return the refusal to search any longer."""
    return Problem(503, _TIMEOUT)


def too_large() -> Problem:
    """Return the refusal to store more. INFERRED: its text."""
    return bad_body("'The user would be too large'.")
