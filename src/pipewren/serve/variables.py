"""Secrets, which the API calls variables: `/v0/variables` (data-apis.md section 5).

A value comes in and is never answered. A change is one transaction of the store, after which the
workspace's values in memory are replaced whole, without waiting in between.
"""

from __future__ import annotations

from pipewren.access.caller import Caller
from pipewren.errors import DOCS, BadRequest, Conflict, Forbidden, NotFound
from pipewren.project.names import MAX_NAME_CHARACTERS
from pipewren.serve.answers import Answer, json_answer
from pipewren.serve.audited import audited
from pipewren.serve.route_request import RouteRequest
from pipewren.serve.server import Server
from pipewren.storage import secrets as stored
from pipewren.storage.secrets import StoredSecret
from pipewren.template.escaping import is_plain_name

MAX_SECRETS = 100  # of a workspace (limits.md section 3)
MAX_VALUE_BYTES = 8192
_TYPE = "secret"
_DOCUMENTATION = f"{DOCS}/api-reference/environment-variables-api"
_NO_STORE = ((b"cache-control", b"no-store"),)


@audited("variable.list")
async def show_all(request: RouteRequest, server: Server, caller: Caller) -> Answer:
    """`GET /v0/variables`: all secrets of the workspace, without their values."""
    _require_admin(caller)
    with server.store.begin() as connection:
        found = stored.list_secrets(connection, caller.workspace_id)
    return json_answer(200, {"variables": [_show(one) for one in found]}, _NO_STORE)


@audited("variable.show")
async def show(request: RouteRequest, server: Server, caller: Caller) -> Answer:
    """`GET /v0/variables/NAME`. Raises NotFound: clients create it then."""
    _require_admin(caller)
    with server.store.begin() as connection:
        found = stored.find_secret(connection, caller.workspace_id, request.names["name"])
    if found is None:
        raise NotFound("Not found", documentation=_DOCUMENTATION)
    return json_answer(200, _show(found), _NO_STORE)


@audited("variable.create")
async def create(request: RouteRequest, server: Server, caller: Caller) -> Answer:
    """`POST /v0/variables` with `name` and `value`. Raises BadRequest, and Conflict for a name
    that is taken."""
    _require_admin(caller)
    name, value = _read_name(request), _read_value(request)
    if (request.sent("type") or _TYPE) != _TYPE:
        raise _refuse(f"The parameter type must be {_TYPE}, which is the only type there is")
    with server.store.begin() as connection:
        if stored.find_secret(connection, caller.workspace_id, name) is not None:
            raise Conflict(
                f"Variable '{name}' already exists: change its value with PUT /v0/variables/{name}",
                documentation=_DOCUMENTATION,
            )
        if stored.count_secrets(connection, caller.workspace_id) >= MAX_SECRETS:
            raise _refuse(
                f"The workspace has {MAX_SECRETS} variables, which is the most there are: delete "
                "those that are not used"
            )
        made = stored.create_secret(
            connection,
            caller.workspace_id,
            name,
            value,
            key=server.secrets_key,
            edited_by=_editor(caller),
        )
    _keep(server, caller, name, value)
    return json_answer(200, _show(made), _NO_STORE)


@audited("variable.update")
async def update(request: RouteRequest, server: Server, caller: Caller) -> Answer:
    """`PUT /v0/variables/NAME` with `value`. Raises NotFound, BadRequest."""
    _require_admin(caller)
    name, value = request.names["name"], _read_value(request)
    with server.store.begin() as connection:
        changed = stored.update_secret(
            connection,
            caller.workspace_id,
            name,
            value,
            key=server.secrets_key,
            edited_by=_editor(caller),
        )
    if changed is None:
        raise _not_found()
    _keep(server, caller, name, value)
    return json_answer(200, _show(changed), _NO_STORE)


@audited("variable.delete")
async def remove(request: RouteRequest, server: Server, caller: Caller) -> Answer:
    """`DELETE /v0/variables/NAME`. What reads it fails from then on. Raises NotFound."""
    _require_admin(caller)
    name = request.names["name"]
    with server.store.begin() as connection:
        if not stored.delete_secret(connection, caller.workspace_id, name):
            raise _not_found()
    _keep(server, caller, name, None)
    return json_answer(200, {"ok": True}, _NO_STORE)


def _show(secret: StoredSecret) -> dict[str, str]:
    return {
        "name": secret.name,
        "type": secret.type,
        "created_at": _show_time(secret.created_at),
        "updated_at": _show_time(secret.updated_at),
        "edited_by": secret.edited_by,
    }


def _show_time(text: str) -> str:
    """`YYYY-MM-DDTHH:MM:SS`: other APIs show times with a blank and microseconds."""
    return text[:19].replace(" ", "T")


def _editor(caller: Caller) -> str:
    return f"token: '{caller.token_name}'"


def _keep(server: Server, caller: Caller, name: str, value: str | None) -> None:
    values = dict(server.secrets.get(caller.workspace_id, {}))
    if value is None:
        values.pop(name, None)
    else:
        values[name] = value
    server.secrets[caller.workspace_id] = values


def _require_admin(caller: Caller) -> None:
    if not caller.is_admin:
        raise Forbidden(
            f"The token '{caller.token_name}' may not manage variables: it needs the scope ADMIN",
            documentation=_DOCUMENTATION,
        )


def _read_name(request: RouteRequest) -> str:
    name = request.sent("name")
    if not name:
        raise _refuse("The parameter name is missing: it names the variable")
    if not is_plain_name(name):
        raise _refuse(
            "The parameter name must begin with a letter or _ and go on with letters, digits and _"
        )
    if len(name) > MAX_NAME_CHARACTERS:
        raise _refuse(f"The parameter name has at most {MAX_NAME_CHARACTERS} characters")
    return name


def _read_value(request: RouteRequest) -> str:
    """Its text is in no message."""
    value = request.sent("value")
    if value is None:
        raise _refuse("The parameter value is missing, or is no text: send a text")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise _refuse("The parameter value holds half of a surrogate pair") from None
    if size > MAX_VALUE_BYTES:
        raise _refuse(
            f"The parameter value is {size:,} bytes long, and may be {MAX_VALUE_BYTES:,} at most"
        )
    if "\0" in value:
        raise _refuse("The parameter value holds a NUL character")
    return value


def _refuse(message: str) -> BadRequest:
    return BadRequest(message, documentation=_DOCUMENTATION)


def _not_found() -> NotFound:
    return NotFound("Variable not found", documentation=_DOCUMENTATION)
