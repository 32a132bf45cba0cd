"""`GET /v0/pipes/openapi.json`: OpenAPI 3.1 of the endpoints that the token may read
(pipes-api.md section 5). What the token cannot read is not in it, not even as a name.

The path is the description's for GET, whatever the endpoints are called; one of the name `openapi`
is reached by its id, by POST, or in another format.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipewren import __version__
from pipewren.access.authorize import readable_pipes
from pipewren.deploy.deployment import Deployment, Endpoint
from pipewren.serve.answers import Answer, json_answer
from pipewren.serve.formats import FORMATS
from pipewren.serve.parameter_schema import describe_parameter, list_parameters
from pipewren.serve.result_schema import row_schema
from pipewren.serve.route_request import RouteRequest, open_deployment
from pipewren.serve.server import Server

Schema = dict[str, Any]

_ERRORS = {
    "400": "The request, a parameter or the statement is wrong; or the result or a limit of the "
    "query is passed",
    "403": "No token, a wrong one, or one that may not read this endpoint",
    "404": "There is no such endpoint",
    "405": "Another method than GET or POST",
    "408": "The query ran over its time limit",
    "413": "The body is too large",
    "414": "The URL is too long: send the parameters in the body of a POST",
    "429": "Too many requests: try again after `Retry-After` seconds",
    "431": "The headers are too large",
    "500": "The server's or the engine's fault",
    "503": "The server is starting or stopping",
    "default": "What the endpoint's author answers by `custom_error`",
}
_HEADERS_OF_ERRORS = {
    "400": ("X-DB-Exception-Code",),
    "429": ("Retry-After", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"),
    "500": ("X-DB-Exception-Code",),
}
_INTEGER: Schema = {"type": "integer"}
_COMPONENTS: Schema = {
    "schemas": {
        "Error": {
            "type": "object",
            "properties": {
                "error": {"type": "string", "description": "What happened, and what to do"},
                "documentation": {"type": "string", "format": "uri"},
            },
            "required": ["error"],
        },
        "Statistics": {
            "type": "object",
            "properties": {
                "elapsed": {"type": "number", "description": "Seconds"},
                "rows_read": _INTEGER,
                "bytes_read": _INTEGER,
            },
            "required": ["elapsed", "rows_read", "bytes_read"],
        },
        "Meta": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "type": {"type": "string", "description": "ClickHouse's type"},
                },
                "required": ["name", "type"],
            },
        },
    },
    "headers": {
        "X-DB-Exception-Code": {
            "description": "ClickHouse's number of the error, where the engine refused the query",
            "schema": _INTEGER,
        },
        "Retry-After": {"description": "Seconds", "schema": _INTEGER},
        "X-RateLimit-Limit": {"schema": _INTEGER},
        "X-RateLimit-Remaining": {"schema": _INTEGER},
        "X-RateLimit-Reset": {"description": "Seconds", "schema": _INTEGER},
        "X-Request-Id": {
            "description": "Quote it when you report a problem",
            "schema": {"type": "string"},
        },
    },
    "securitySchemes": {
        "bearer": {"type": "http", "scheme": "bearer", "description": "A token in the header"},
        "token": {
            "type": "apiKey",
            "in": "query",
            "name": "token",
            "description": "The same in the URL, where logs and histories keep it",
        },
    },
}


async def describe_endpoints(request: RouteRequest, server: Server) -> Answer:
    """`pipes=a,b` restricts it to those names. Raises Forbidden without a valid token."""
    caller, deployment = open_deployment(request, server)
    ids = {endpoint.name: endpoint.id for endpoint in deployment.endpoints.values()}
    names = readable_pipes(caller, ids)
    wanted = request.text("pipes")
    if wanted is not None:
        chosen = {name.strip() for name in wanted.split(",")}
        names = [name for name in names if name in chosen]
    endpoints = [deployment.endpoints[name] for name in names]
    return json_answer(200, make_document(deployment, endpoints, request.base_url))


def make_document(deployment: Deployment, endpoints: Sequence[Endpoint], base_url: str) -> Schema:
    """The document. Clients look a path up as `/pipes/NAME.{format}`, so the server's URL ends in
    `/v0`."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"Endpoints of {deployment.workspace.name}",
            "version": __version__,
            "description": "Each endpoint also takes POST, with the same parameters in a form or "
            "JSON body: for values that are too long for a URL.",
        },
        "servers": [{"url": f"{base_url}/v0"}],
        "security": [{"bearer": []}, {"token": []}],
        "tags": [
            {"name": endpoint.name, "description": endpoint.pipe.pipe.description}
            for endpoint in endpoints
        ],
        "paths": {
            f"/pipes/{endpoint.name}.{{format}}": {"get": _describe_call(endpoint)}
            for endpoint in endpoints
        },
        "components": {
            **_COMPONENTS,
            "responses": {
                f"Error{status.capitalize()}": _error_response(status, text)
                for status, text in _ERRORS.items()
            },
        },
    }


def _describe_call(endpoint: Endpoint) -> Schema:
    about = endpoint.pipe.pipe.description.strip()
    of_node = endpoint.pipe.output.node.description.strip()
    described: Schema = {
        "operationId": endpoint.name,
        "tags": [endpoint.name],
        "summary": about.partition("\n")[0] or of_node.partition("\n")[0] or endpoint.name,
        "parameters": [
            _format_parameter(endpoint),
            *(describe_parameter(one) for one in list_parameters(endpoint.pipe)),
        ],
        "responses": {
            "200": _success_response(endpoint),
            **{
                status: {"$ref": f"#/components/responses/Error{status.capitalize()}"}
                for status in _ERRORS
            },
        },
    }
    text = "\n\n".join(part for part in (about, of_node) if part)
    if text:
        described["description"] = text
    return described


def _format_parameter(endpoint: Endpoint) -> Schema:
    formats = [name for name in FORMATS if (endpoint.name, name) != ("openapi", "json")]
    return {
        "name": "format",
        "in": "path",
        "required": True,
        "description": "How the answer is written",
        "schema": {"type": "string", "enum": formats},
        "example": formats[0],
    }


def _success_response(endpoint: Endpoint) -> Schema:
    content: Schema = {}
    for format in FORMATS.values():
        media_type = format.content_type.decode().partition(";")[0]
        content[media_type] = {"schema": {"type": "string"}}
    content["application/json"] = {"schema": _answer_schema(endpoint)}
    content["application/octet-stream"] = {"schema": {}}  # bytes: no JSON value
    return {
        "description": "The result",
        "headers": {"X-Request-Id": {"$ref": "#/components/headers/X-Request-Id"}},
        "content": content,
    }


def _answer_schema(endpoint: Endpoint) -> Schema:
    row: Schema = {"type": "object"}
    if endpoint.columns is not None:
        row = row_schema(endpoint.columns, are_fixed=not _prints_names(endpoint))
    return {
        "type": "object",
        "properties": {
            "meta": {"$ref": "#/components/schemas/Meta"},
            "data": {"type": "array", "items": row},
            "rows": {"type": "integer", "minimum": 0},
            "rows_before_limit_at_least": {
                "type": "integer",
                "minimum": 0,
                "description": "Only where the query has a LIMIT",
            },
            "totals": {"type": "object", "description": "Only with WITH TOTALS"},
            "statistics": {"$ref": "#/components/schemas/Statistics"},
        },
        "required": ["meta", "data", "rows", "statistics"],
    }


def _prints_names(endpoint: Endpoint) -> bool:
    """Whether values choose columns, so that DESCRIBE has told of one case among several."""
    nodes = endpoint.pipe.nodes.values()
    return any(node.template is not None and node.template.prints_names for node in nodes)


def _error_response(status: str, text: str) -> Schema:
    schema: Schema = {"$ref": "#/components/schemas/Error"}
    headers = ("X-Request-Id", *_HEADERS_OF_ERRORS.get(status, ()))
    return {
        "description": text,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
        "content": {"application/json": {"schema": {} if status == "default" else schema}},
    }
