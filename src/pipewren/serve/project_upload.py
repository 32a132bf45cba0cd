"""A project as clients upload it: `multipart/form-data`, a part per datafile (client-compat.md
section 3)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

from python_multipart import FormParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, parse_options_header

from pipewren.errors import BadRequest, PayloadTooLarge

MAX_FILES = 10_000
PROJECT_PART = "data_project://"
VENDORED_PART = "data_project_vendored://"
CONTEXT_PART = "context://"


@dataclass(slots=True)
class ProjectUpload:
    """`files`: path in the project -> bytes; `vendored` are those of other workspaces."""

    files: dict[str, bytes] = field(default_factory=dict)
    vendored: dict[str, bytes] = field(default_factory=dict)


async def read_project_upload(
    headers: Iterable[tuple[bytes, bytes]], parts: AsyncIterator[bytes], *, max_bytes: int
) -> ProjectUpload:
    """Raises BadRequest for what is no such form or has paths that leave the project, and
    PayloadTooLarge."""
    boundary = _boundary(headers)
    upload = ProjectUpload()
    is_whole = False

    def end() -> None:
        nonlocal is_whole
        is_whole = True

    def take(file: File) -> None:
        name = (file.field_name or b"").decode("utf-8", "replace")
        path = (file.file_name or b"").decode("utf-8", "replace")
        file.file_object.seek(0)
        content = file.file_object.read()
        file.close()
        if name == PROJECT_PART:
            _add(upload.files, path, content)
        elif name == VENDORED_PART:
            _add(upload.vendored, path, content)
        elif name != CONTEXT_PART:
            raise BadRequest(
                f"The part '{name[:100]}' is unknown: datafiles are sent as '{PROJECT_PART}'"
            )

    def ignore(field: Field) -> None:
        """A field that is no file says nothing here."""

    parser = FormParser(
        "multipart/form-data",
        ignore,
        take,
        end,
        boundary=boundary,
        # Bounded by `parts`, so that nothing goes to a temporary file.
        config={"MAX_MEMORY_FILE_SIZE": max_bytes, "MAX_BODY_SIZE": max_bytes},
    )
    try:
        async for part in parts:
            parser.write(part)
        parser.finalize()
    except FormParserError as error:
        raise BadRequest(f"The body is no multipart/form-data: {error}") from None
    if not is_whole:
        raise BadRequest("The body is no whole multipart/form-data: its last boundary is missing")
    return upload


def _boundary(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    sent = next((value for name, value in headers if name == b"content-type"), b"")
    kind, options = parse_options_header(sent)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise BadRequest(
            "Send the project's files as multipart/form-data, a part named "
            f"'{PROJECT_PART}' for each, with its path as the file name"
        )
    return boundary


def _add(files: dict[str, bytes], path: str, content: bytes) -> None:
    parts = path.split("/")
    if not path or path.startswith("/") or ".." in parts or "\0" in path or "\\" in path:
        raise BadRequest(f"The path {path[:200]!r} is not one inside a project")
    if path in files:
        raise BadRequest(f"The file {path[:200]} was sent twice")
    if len(files) >= MAX_FILES:
        raise PayloadTooLarge(f"A project has at most {MAX_FILES:,} files")
    files[path] = content
