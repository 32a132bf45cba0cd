"""What a caller may read (tokens.md section 4)."""

from __future__ import annotations

from pipewren.access.caller import Caller
from pipewren.errors import Forbidden


def authorize_endpoint(caller: Caller, name: str, pipe_id: str) -> None:
    """Let `caller` call the endpoint, named or by id in the token's scopes. Raises Forbidden."""
    if caller.reads_all or name in caller.pipes or pipe_id in caller.pipes:
        return
    raise Forbidden(
        f"The token is not valid for this endpoint: token '{caller.token_name}' lacks the scope "
        f"PIPES:READ:{name}"
    )
