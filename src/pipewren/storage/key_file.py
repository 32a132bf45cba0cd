"""Keys of the server: 32 bytes, by a setting, or in a file of mode 0600 beside the store."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from pipewren.errors import StartError

KEY_BYTES = 32


def read_key_file(path: Path, given: str | None, *, if_removed: str) -> bytes:
    """The key: `given` by setting, else the one in the file, which is made where it is not there.
    `if_removed` tells what removing the file brings about.

    Raises StartError when the file is readable by others, damaged, or cannot be written.
    """
    if given is not None:
        return hashlib.sha256(given.encode()).digest()
    try:
        return _read(path, if_removed) if path.exists() else _make(path)
    except OSError as error:
        raise StartError(f"Cannot use the key file {path}: {error.strerror}") from None


def _read(path: Path, if_removed: str) -> bytes:
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise StartError(
            f"The key file {path} can be read by others (mode {mode:o}): run `chmod 600 {path}`"
        )
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise StartError(
            f"The key file {path} is damaged: {len(key)} bytes instead of {KEY_BYTES}. Restore it "
            f"from a backup, or remove it: {if_removed}."
        )
    return key


def _make(path: Path) -> bytes:
    key = secrets.token_bytes(KEY_BYTES)
    # Written whole under another name first: a kill in the middle must not leave half a key.
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, key)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    draft.rename(path)
    return key
