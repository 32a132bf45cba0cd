"""The data directory on disk: its format version, its lock, the engine's folder inside.

    DATA_DIR/format_version   "1"
    DATA_DIR/lock             held by the running server; holds its process id
    DATA_DIR/engine.xml       written at each start (config.py)
    DATA_DIR/engine/          ClickHouse's own files

chDB allows one process per path and says "Error initializing EmbeddedServer" to the second (the
cause goes to stderr only), so a lock of our own stands beside its lock, to say what is wrong.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from pipewren.engine.config import FILE_NAME, render_config
from pipewren.engine.options import EngineOptions
from pipewren.errors import StartError

FORMAT_VERSION = 1
_HOLDER_BYTES = 32
_FORBIDDEN = frozenset("?&#'\"\\\n\0")  # the path stands in a connection string


@dataclass(frozen=True, slots=True)
class DataDir:
    """An open, locked data directory. `lock` is a file descriptor, closed by `close_data_dir`."""

    path: Path
    engine_path: Path
    config_file: Path
    lock: int


def open_data_dir(options: EngineOptions) -> DataDir:
    """Create or open, lock and check the directory. Raises StartError saying what to do."""
    path = options.data_dir.absolute()
    if not _FORBIDDEN.isdisjoint(str(path)):
        raise StartError(
            f"The data directory {path} has one of the characters ? & # ' \" \\ in its path, "
            "which the engine cannot open. Choose another --data-dir."
        )
    engine_path, config_file = path / "engine", path / FILE_NAME
    try:
        engine_path.mkdir(parents=True, exist_ok=True)
        lock = _take_lock(path)
        try:
            _check_format(path)
            _write_config(config_file, render_config(options, config_file))
        except BaseException:
            os.close(lock)
            raise
    except OSError as error:
        raise StartError(
            f"The data directory {path} cannot be written: {error.strerror or error}. "
            "Check its owner, its rights and the disk, or choose another --data-dir."
        ) from None
    return DataDir(path=path, engine_path=engine_path, config_file=config_file, lock=lock)


def close_data_dir(data_dir: DataDir) -> None:
    os.close(data_dir.lock)


def _take_lock(path: Path) -> int:
    lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, _HOLDER_BYTES).decode("ascii", "replace").strip()
        os.close(lock)
        process = f" (process {holder})" if holder else ""
        raise StartError(
            f"The data directory {path} is in use by another server{process}. "
            "Stop that server, or choose another --data-dir."
        ) from None
    except BaseException:
        os.close(lock)
        raise
    # In place, since a full disk has no room for a file that was emptied; it only tells a person.
    with contextlib.suppress(OSError):
        os.pwrite(lock, f"{os.getpid()}\n".ljust(_HOLDER_BYTES).encode(), 0)
    return lock


def _write_config(file: Path, text: str) -> None:
    """Not where it says the same already: a server must start on a full disk too."""
    if file.is_file() and file.read_text(encoding="utf-8", errors="replace") == text:
        return
    # Written aside and renamed: a full disk must not leave half a configuration.
    fresh = file.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(file)


def _check_format(path: Path) -> None:
    file = path / "format_version"
    if not file.exists():
        fresh = file.with_suffix(".new")
        fresh.write_text(f"{FORMAT_VERSION}\n", encoding="utf-8")
        fresh.replace(file)
        return
    text = file.read_text(encoding="utf-8", errors="replace").strip()
    if text != str(FORMAT_VERSION):
        raise StartError(
            f"The data directory {path} has format version {text[:20] or '(empty)'}, and this "
            f"version of Pipewren reads version {FORMAT_VERSION}. Use the Pipewren that wrote it, "
            "or choose another --data-dir."
        )
