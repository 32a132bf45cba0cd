"""Uploads a project to a running server as the official clients do: for tests and benchmarks."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from pipewren.testing.serving import HttpAnswer, RunningServer


def upload(
    server: RunningServer,
    path: str,
    files: Mapping[str, str],
    params: Mapping[str, Any] | None = None,
    *,
    token: str = "",
) -> HttpAnswer:
    """POST `files` (path in the project -> text) to `/v1/build` or `/v1/deploy`."""
    boundary = uuid.uuid4().hex
    return server.request(
        path,
        params,
        method="POST",
        headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
        body=multipart(files, boundary),
        token=token,
    )


def multipart(files: Mapping[str, str], boundary: str) -> bytes:
    """The body: a part `context://`, then one `data_project://` for each file."""
    parts = [("context://", "cli-version", "1.0.0")]
    parts += [("data_project://", name, text) for name, text in files.items()]
    body = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{part}"; filename="{name}"\r\n'
        f"Content-Type: text/plain\r\n\r\n{text}\r\n"
        for part, name, text in parts
    )
    return f"{body}--{boundary}--\r\n".encode()
