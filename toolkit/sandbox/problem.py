"""What the Management API answers instead of a result.

Facts: the error bodies are those of Auth0's API description and of recordings of the API.
"""

import json
from collections.abc import Mapping
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


def on_property(wrong: str, name: str, about: str = "") -> str:
    """Return how Auth0 says what is wrong with a property, and what the property is about."""
    return f"'{wrong}' on property {name}{f' ({about})' if about else ''}."


def bad_query(message: str) -> Problem:
    """Return the refusal of a query parameter."""
    return Problem(400, f"Query validation error: {message}", "invalid_query_string")


def bad_body(message: str) -> Problem:
    """Return the refusal of a request's body."""
    return Problem(400, f"Payload validation error: {message}", "invalid_body")


def invalid_body(_: str = "") -> Problem:
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
