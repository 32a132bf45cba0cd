"""How an expression fails: the errors that functions raise, with the texts of templating.md."""

from __future__ import annotations

from pipewren.errors import DOCS, TemplateError

PREFIX = "Template Syntax Error: "
PAGE = f"{DOCS}/cli/advanced-templates.html"
# What helps where a value is missing, or `defined()` is given something else than a name.
DEFINED = "defined"
DEFINED_PAGE = f"{PAGE}#{DEFINED}"
NOT_A_FUNCTION = "wrong syntax, you might be using a not valid function inside a control block"
_MAX_SHOWN_CHARACTERS = 200


class MissingParameter(Exception):
    """A parameter without a value and without a default. `Template.render` turns it into the
    error that lists what the template needs."""

    def __init__(self, parameter: str) -> None:
        super().__init__(parameter)
        self.parameter = parameter


def failure(message: str, *, anchor: str | None = None, parameter: str = "") -> TemplateError:
    """An error of the language; `anchor` is the function's place in the reference's page."""
    return TemplateError(
        PREFIX + message,
        documentation=f"{PAGE}#{anchor}" if anchor else None,
        parameter=parameter or None,
    )


def invalid_value(shown: str, type_name: str, expected: str, parameter: str) -> TemplateError:
    """`Error validating 'V' to type T`, and what would have been right."""
    subject = f"The parameter {parameter}" if parameter else f"A value of type {type_name}"
    return failure(
        f"Error validating {shown} to type {type_name}. {subject} takes {expected}.",
        anchor="transform-types-functions",
        parameter=parameter,
    )


def shorten(text: str, characters: int = _MAX_SHOWN_CHARACTERS) -> str:
    """A caller's text for a message, cut when long."""
    return text if len(text) <= characters else text[:characters] + "..."


def list_names(names: tuple[str, ...]) -> str:
    """`A, B and C`."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def missing_message(required: tuple[str, ...], parameter: str) -> str:
    """`Required parameter is not defined. ...` over all that the template needs."""
    names = list_names(required or ((parameter,) if parameter else ()))
    return (
        f"{PREFIX}Required parameter is not defined. Check the parameters {names}. "
        "Please provide a value or set a default value in the pipe code."
    )
