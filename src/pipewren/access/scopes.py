"""The scopes of static tokens, by their exact names (tokens.md section 4).

A request writes a scope as `TYPE[:resource[:filter]]` or as an object, an answer as an object.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pipewren.errors import BadRequest
from pipewren.storage.tokens import Scope

MAX_SCOPES = 1000
MAX_FILTER_BYTES = 8192
MAX_RESOURCE_LENGTH = 255

ADMIN_TYPES = frozenset({"ADMIN", "ADMIN_USER"})
USER_TYPE = "USER"  # of the user token only: the account, no workspace

_PLAIN = frozenset(
    {
        *("ADMIN", "TOKENS", "WORKSPACE:READ_ALL", "WORKSPACE:DEPLOY", "ORG_DATASOURCES:READ"),
        *("DATASOURCES:CREATE", "PIPES:CREATE"),
    }
)
_ON_DATASOURCE = frozenset({"DATASOURCES:APPEND", "DATASOURCES:READ", "DATASOURCES:DROP"})
_ON_PIPE = frozenset({"PIPES:READ", "PIPES:DROP"})
_WITH_FILTER = frozenset({"DATASOURCES:READ", "PIPES:READ"})
# Prose spells them so, and people copy it.
_SINGULAR = {"PIPE": "PIPES", "DATASOURCE": "DATASOURCES", "ORG_DATASOURCE": "ORG_DATASOURCES"}


@dataclass(frozen=True, slots=True)
class Resources:
    """What the workspace has: names of pipes and data sources, and the names of their ids."""

    pipes: Collection[str]
    datasources: Collection[str]
    pipe_ids: Mapping[str, str]  # id -> name
    datasource_ids: Mapping[str, str]

    def pipe(self, name_or_id: str) -> str | None:
        """The pipe's name, None when there is none."""
        return name_or_id if name_or_id in self.pipes else self.pipe_ids.get(name_or_id)

    def datasource(self, name_or_id: str) -> str | None:
        """The data source's name, None when there is none."""
        if name_or_id in self.datasources:
            return name_or_id
        return self.datasource_ids.get(name_or_id)


def read_scopes(given: Collection[Any], resources: Resources) -> frozenset[Scope]:
    """Scopes as a request gives them, texts or objects. Raises BadRequest for an unknown type, a
    missing or unknown resource, and for a part that the type does not take: ignoring it would
    give more than was asked for.

    Resources are kept by name, whichever way they were given: an id stands for a name here.
    """
    if len(given) > MAX_SCOPES:
        raise BadRequest(f"A token has at most {MAX_SCOPES} scopes, {len(given)} were sent")
    return frozenset(_check(*_split(one), resources) for one in given)


def show_scope(scope: Scope) -> dict[str, str]:
    """As answers write it. Scopes of the whole workspace have no resource."""
    if scope.type in _ON_DATASOURCE or scope.type in _ON_PIPE:
        return {"type": scope.type, "resource": scope.resource, "filter": scope.filter}
    return {"type": scope.type}


def _split(given: Any) -> tuple[str, str, str]:
    if isinstance(given, str):
        family, _, rest = given.partition(":")
        if not rest:
            return _normal(family), "", ""
        action, _, rest = rest.partition(":")
        resource, _, condition = rest.partition(":")
        return _normal(f"{family}:{action}"), resource, condition
    if isinstance(given, dict):
        unknown = given.keys() - {"type", "resource", "filter"}
        if unknown:
            raise BadRequest(
                f"A scope of a static token has no {_shown(min(unknown))}: it has type, resource "
                "and filter. Fixed parameters need a JWT: send expiration_time"
            )
        parts = [given.get(key) for key in ("type", "resource", "filter")]
        texts = ["" if part is None else part for part in parts]
        if all(isinstance(text, str) for text in texts):
            return _normal(texts[0]), texts[1], texts[2]
    raise BadRequest(
        "A scope is a text TYPE[:resource[:filter]], or an object with the texts type, resource "
        "and filter"
    )


def _normal(type: str) -> str:
    family, colon, action = type.partition(":")
    return f"{_SINGULAR.get(family, family)}{colon}{action}"


def _check(type: str, resource: str, condition: str, resources: Resources) -> Scope:
    if type in _PLAIN:
        if resource or condition:
            raise BadRequest(f"The scope {type} takes no resource")
        return Scope(type)
    if type not in _ON_DATASOURCE and type not in _ON_PIPE:
        raise BadRequest(f"Unknown scope {_shown(type)}: see docs/tokens.md for those there are")
    noun = "pipe" if type in _ON_PIPE else "data source"
    if not resource:
        raise BadRequest(f"The scope {type} needs the name of a {noun}: {type}:<name>")
    name = resources.pipe(resource) if type in _ON_PIPE else resources.datasource(resource)
    if name is None:
        raise BadRequest(f"The scope {type} names a {noun} that there is not: {_shown(resource)}")
    if condition and type not in _WITH_FILTER:
        raise BadRequest(f"The scope {type} takes no filter")
    if condition and not condition.strip():  # blank is not the same as absent
        raise BadRequest(f"The filter on {name} is blank: leave it out, or write a condition")
    if len(condition.encode("utf-8", "surrogatepass")) > MAX_FILTER_BYTES:
        raise BadRequest(f"The filter on {name} is longer than {MAX_FILTER_BYTES} bytes")
    return Scope(type, name, condition)


def _shown(text: str) -> str:
    return repr(text[:100])
