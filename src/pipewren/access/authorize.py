"""What a caller may read (tokens.md section 4)."""

from __future__ import annotations

from collections.abc import Mapping

from pipewren.access.caller import Caller
from pipewren.errors import Forbidden


def authorize_endpoint(caller: Caller, name: str, pipe_id: str) -> None:
    """Let `caller` call the endpoint, named or by id in the token's scopes. Raises Forbidden."""
    if may_read_pipe(caller, name, pipe_id):
        return
    raise Forbidden(
        f"The token is not valid for this endpoint: token '{caller.token_name}' lacks the scope "
        f"PIPES:READ:{name}"
    )


def may_read_pipe(caller: Caller, name: str, pipe_id: str) -> bool:
    """Whether `caller` may call the endpoint and read the pipe's description."""
    return caller.reads_all or name in caller.pipes or pipe_id in caller.pipes


def readable_pipes(caller: Caller, pipe_ids: Mapping[str, str]) -> list[str]:
    """The names that `caller` may read, of those in `pipe_ids` (name -> id), in their order."""
    return [name for name, pipe_id in pipe_ids.items() if may_read_pipe(caller, name, pipe_id)]
