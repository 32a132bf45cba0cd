"""Every error that Pipewren raises on purpose, on one page.

    PipewrenError
    ├── ProjectErrors            a project does not load: all its mistakes at once
    │   └── .mistakes            ProjectMistake records (file, line, column, message, hint)
    ├── DatafileError            one mistake in a datafile; the loader collects them
    ├── TemplateError            400  a template or a value given to it
    │   ├── TemplateSyntaxError       the author's mistake, found when the project loads
    │   └── CustomTemplateError  any  `custom_error(obj, code)`
    ├── StatementError           400  a statement whose text cannot be compiled
    ├── BadRequest               400  the request itself
    ├── Forbidden                403  no token, a wrong one, or one without the scope
    ├── NotFound                 404
    ├── MethodNotAllowed         405
    ├── TimedOut                 408  over the time limit
    ├── Conflict                 409  the name is taken
    ├── PayloadTooLarge          413
    ├── ViewFailed               422  rows are in, but not in a materialised view
    ├── TooManyRequests          429
    ├── EngineError              400 or 500  ClickHouse's error, scrubbed; `.engine_code`
    ├── Unavailable              503  starting, stopping, or the disk reserve is reached
    └── StartError               the server cannot start (directory in use, not writable, ...)

`status` is the HTTP status, `code` a stable name for programs; the message says what happened,
where, and what to do. Messages reach callers: no secret, no path of the server, no foreign name.
The JSON shape is made in one place, `serve/answers.py` (spec: endpoints.md section 4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

DOCS = "https://docs.tinybird.co"  # the host that observed answers use (templating.md section 9)


class PipewrenError(Exception):
    """The root: a message for the user, an HTTP status and a stable code."""

    status: int = 500
    code: ClassVar[str] = "internal"
    documentation: str | None = None
    # Of an error that came while the engine ran a statement: the name of the connection, for how
    # many seconds the statement had waited for it, and its `engine.contract.QuerySpan`, if any.
    connection: str = ""
    waited_s: float = 0.0
    span: Any = None

    def __init__(self, message: str, *, documentation: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if documentation is not None:
            self.documentation = documentation

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class ProjectMistake:
    """One mistake in a project's files. `line` and `column` count from 1; None when unknown."""

    message: str
    file: str | None = None
    line: int | None = None
    column: int | None = None
    hint: str | None = None
    context: str | None = None  # the lines around it, with a caret

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        text = f"{where}: {self.message}" if where else self.message
        if self.context:
            text += "\n" + "\n".join("    " + line for line in self.context.splitlines())
        return f"{text}\n    hint: {self.hint}" if self.hint else text


class ProjectErrors(PipewrenError):
    """A project with mistakes; carries all of them, in file order."""

    status = 400
    code = "project"

    def __init__(self, mistakes: Sequence[ProjectMistake]) -> None:
        self.mistakes = tuple(mistakes)
        count = len(self.mistakes)
        head = "1 mistake" if count == 1 else f"{count} mistakes"
        super().__init__(
            f"The project has {head}:\n" + "\n".join(str(mistake) for mistake in self.mistakes)
        )


class DatafileError(PipewrenError):
    """One mistake in a datafile, with its place."""

    status = 400
    code = "datafile"

    def __init__(self, mistake: ProjectMistake) -> None:
        super().__init__(str(mistake))
        self.mistake = mistake


class TemplateError(PipewrenError):
    """A template cannot be rendered: the caller's value or the author's expression."""

    status = 400
    code = "template"
    documentation = f"{DOCS}/cli/advanced-templates.html"

    def __init__(
        self,
        message: str,
        *,
        documentation: str | None = None,
        parameter: str | None = None,
        line: int | None = None,
    ) -> None:
        """`parameter` is the one whose value was refused; `line` counts from 1 in the template."""
        super().__init__(message, documentation=documentation)
        self.parameter = parameter
        self.line = line


class TemplateSyntaxError(TemplateError):
    """The author's mistake, found when the template compiles. Lines and columns count from 1."""

    code = "template_syntax"

    def __init__(
        self,
        message: str,
        *,
        line: int | None = None,
        column: int | None = None,
        documentation: str | None = None,
    ) -> None:
        super().__init__(message, line=line, documentation=documentation)
        self.column = column


class CustomTemplateError(TemplateError):
    """`custom_error(obj, code)`: the author chose status and body (templating.md section 5)."""

    code = "custom"

    def __init__(self, message: str, *, status: int, body: object) -> None:
        super().__init__(message)
        self.status = status
        self.body = body


class StatementError(PipewrenError):
    """A statement's text that cannot become part of one SELECT."""

    status = 400
    code = "statement"


class BadRequest(PipewrenError):
    """The request itself cannot be read, or asks for what there is not."""

    status = 400
    code = "bad_request"


class Forbidden(PipewrenError):
    """No token, a wrong one, or one without the scope."""

    status = 403
    code = "forbidden"
    documentation = f"{DOCS}/api-reference/overview#authentication"


class NotFound(PipewrenError):
    """An unknown route, or a pipe that does not exist or is not published."""

    status = 404
    code = "not_found"


class MethodNotAllowed(PipewrenError):
    """`allowed` becomes the `Allow` header."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, message: str, *, allowed: Sequence[str]) -> None:
        super().__init__(message)
        self.allowed = tuple(allowed)


class TimedOut(PipewrenError):
    """A query ran over its time limit."""

    status = 408
    code = "timed_out"


class Conflict(PipewrenError):
    """The state of things forbids it: a name that is taken."""

    status = 409
    code = "conflict"


class PayloadTooLarge(PipewrenError):
    """A body over `max_body_bytes`."""

    status = 413
    code = "payload_too_large"


class TooManyRequests(PipewrenError):
    """`retry_after_s` becomes the `Retry-After` header, `limit` (requests at a time, or in a
    window) `X-RateLimit-Limit` (limits.md section 6)."""

    status = 429
    code = "too_many_requests"

    def __init__(self, message: str, *, retry_after_s: int = 1, limit: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.limit = limit


class EngineError(PipewrenError):
    """ClickHouse refused or failed a statement.

    `engine_code` is its number (sent as X-DB-Exception-Code), `engine_name` its symbolic name,
    `view` the physical name of the materialised view that failed during an insert, "" for none.
    The text is scrubbed in `engine/errors.py`: no stack, version, path, query text or foreign name.
    """

    code = "engine"
    documentation = f"{DOCS}/api-reference/pipe-api.html"

    def __init__(
        self, message: str, *, engine_code: int, engine_name: str, status: int, view: str = ""
    ) -> None:
        super().__init__(message)
        self.engine_code = engine_code
        self.engine_name = engine_name
        self.status = status
        self.view = view

    @property
    def headers(self) -> Mapping[str, str]:
        return {"X-DB-Exception-Code": str(self.engine_code)}


class Unavailable(PipewrenError):
    """The server is starting or stopping, or the disk reserve is reached. `retry_after_s` becomes
    the `Retry-After` header."""

    status = 503
    code = "unavailable"

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ViewFailed(PipewrenError):
    """Rows are in their data source, and a materialised view refused them (data-apis.md section
    1): sent again they would be there twice."""

    status = 422
    code = "view_failed"


class StartError(PipewrenError):
    """The server cannot start; the message is all that the user sees."""

    code = "start"
