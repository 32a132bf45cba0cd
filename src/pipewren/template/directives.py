"""Functions that say how a statement is to be run, and print a comment; secrets; the author's own
errors (templating.md section 5)."""

from __future__ import annotations

import json
import re
from typing import Any

from pipewren.errors import CustomTemplateError, TemplateError
from pipewren.template.escaping import is_plain_name
from pipewren.template.failures import failure, shorten
from pipewren.template.measures import text_of, weigh
from pipewren.template.printing import print_value
from pipewren.template.run import Run
from pipewren.template.values import PLACEHOLDER, Fragment, Placeholder

CACHE_TTLS_S = {"5s": 5, "1m": 60, "5m": 300, "30m": 1800, "1h": 3600}
ACTIVATIONS = ("analyzer", "parallel_replicas", "optimize_aggregation_in_order")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_MAX_HINT = 200
_MAX_BODY = 10_000


def set_max_threads(run: Run, threads: Any = None) -> Fragment:
    if isinstance(threads, Placeholder):
        return Fragment("-- max_threads 1\n")
    if not isinstance(threads, int) or isinstance(threads, bool) or not 0 < threads < 10_000:
        raise failure("-- max_threads: wrong argument. It takes a whole number from 1 on.")
    run.max_threads = int(threads)
    return Fragment(f"-- max_threads {int(threads)}\n")


def set_cache_ttl(run: Run, ttl: Any = None) -> Fragment:
    if isinstance(ttl, Placeholder):
        return Fragment("")
    if type(ttl) is not str or ttl not in CACHE_TTLS_S:
        valid = ", ".join(f"'{one}'" for one in CACHE_TTLS_S)
        raise failure(f"Invalid TTL cache expression, valid expressions are ({valid})")
    run.cache_ttl_s = CACHE_TTLS_S[ttl]
    return Fragment(f"-- cache_ttl {ttl}\n")


def set_backend_hint(run: Run, hint: Any = None) -> Fragment:
    if not hint:
        run.backend_hint = None
        return Fragment("-- backend_hint \n")
    shown = _CONTROL.sub(" ", text_of(hint)[:_MAX_HINT])
    run.backend_hint = shown
    return Fragment(f"-- backend_hint {shown}\n")


def activate(run: Run, feature: Any = None) -> Fragment:
    if type(feature) is not str or feature not in ACTIVATIONS:
        raise failure(f"'{shorten(text_of(feature), 60)}' is not a valid 'activate' argument")
    run.activated = (*run.activated, feature)
    return Fragment(f"-- activate {feature}\n")


def disable(run: Run, feature: Any = None) -> Fragment:
    if feature != "analyzer":
        raise failure(f"'{shorten(text_of(feature), 60)}' is not a valid 'disable' argument")
    run.disabled = (*run.disabled, "analyzer")
    return Fragment("-- disable analyzer\n")


def read_secret(run: Run, name: Any = None, default: Any = None) -> Any:
    """`{name: String}`, which the engine fills: the value is never part of the text."""
    text = text_of(name)
    if is_plain_name(text) and text in run.secrets:
        if text not in run.used_secrets:
            run.used_secrets = (*run.used_secrets, text)
        return Fragment(f"{{{text}: String}}")
    if default is not None:
        return default
    if run.ignores_missing_secrets:
        return PLACEHOLDER
    raise failure(
        f"Cannot access secret '{shorten(text, 60)}'. Check the secret exists in the Workspace and "
        "the token has the required scope."
    )


def raise_error(run: Run, message: Any = None) -> Fragment:
    if run.is_validation:
        return Fragment("")
    text = message if type(message) is str else text_of(message)
    raise TemplateError(text)


def raise_custom_error(run: Run, body: Any = None, code: Any = 400) -> Fragment:
    """The author's own status and body: a dict is the body, a text becomes `{"error": text}`."""
    if run.is_validation:
        return Fragment("")
    if not isinstance(code, int) or isinstance(code, bool) or not 400 <= code <= 599:
        raise failure(f"custom_error() takes a status from 400 to 599, not {text_of(code)[:40]}")
    weigh(run, body)
    try:
        message = json.dumps(body, default=_text_for_json, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise failure("custom_error() takes a text or an object that JSON can hold") from None
    if len(message) > _MAX_BODY:
        raise failure(f"the body of custom_error() is over {_MAX_BODY} characters")
    body = json.loads(message)
    if not isinstance(body, dict):
        body = {"error": body if isinstance(body, str) else message}
    error = body.get("error")
    raise CustomTemplateError(
        error if isinstance(error, str) else message, status=int(code), body=body
    )


def _text_for_json(value: Any) -> str:
    return print_value(value, "body")
