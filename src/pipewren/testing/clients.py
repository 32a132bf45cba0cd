"""The official clients, installed as their users do, in environments of their own.

Each is made once per machine, under `.venv-clients/` of the checkout, and made again when what is
installed into it changes. Several test processes may ask at the same time.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

CLIENTS_DIR = Path(__file__).parents[3] / ".venv-clients"

# What pip is given, call by call; the next plan where one fails.
PipPlan = tuple[tuple[str, ...], ...]
_TB: tuple[PipPlan, ...] = (
    (("tinybird==5.0.3",),),
    # A certifi as new as it asks for is not on every mirror, and is not needed.
    (
        ("tinybird==5.0.2",),
        ("--no-deps", "tinybird==5.0.3"),
        ("shandy-sqlfmt[jinjafmt]==0.29.0",),
    ),
)
_PYTHON_SDKS: tuple[PipPlan, ...] = (
    (("tinybird-sdk==0.4.0", "verdin==0.5.3", "tinybird-python-sdk==0.3.7"),),
)
_NODE_SDK = {"@tinybirdco/sdk": "0.0.84"}


def install_tb() -> Path:
    """The `bin` folder of an environment with the command `tb` 5.0.3."""
    return _once("tb", json.dumps(_TB), lambda folder: _make_python(folder, _TB)) / "bin"


def install_python_sdks() -> Path:
    """The Python of an environment with `tinybird_sdk`, `verdin` and `tb` (tinybird-python-sdk)."""
    recipe = json.dumps(_PYTHON_SDKS)
    folder = _once("sdks", recipe, lambda folder: _make_python(folder, _PYTHON_SDKS))
    return folder / "bin" / "python"


def install_node_sdk() -> Path:
    """A folder whose `node_modules` has `@tinybirdco/sdk`."""
    return _once("node", json.dumps(_NODE_SDK), lambda folder: _make_node(folder, _NODE_SDK))


def install_npm_package(name: str, version: str) -> Path:
    """The folder of an npm package alone, without what it depends on."""

    def make(folder: Path) -> None:
        folder.mkdir(parents=True)
        packed = _run(["npm", "pack", "--silent", f"{name}@{version}"], cwd=folder)
        archive = folder / packed.split()[-1]
        shutil.unpack_archive(archive, folder, filter="data")
        archive.unlink()

    return _once(f"npm-{name}", version, make) / "package"


def _once(name: str, recipe: str, make: Callable[[Path], None]) -> Path:
    CLIENTS_DIR.mkdir(exist_ok=True)
    folder = CLIENTS_DIR / name
    with (CLIENTS_DIR / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = folder / "made-by"
        if not stamp.is_file() or stamp.read_text() != recipe:
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            stamp.write_text(recipe)
    return folder


def _make_python(folder: Path, plans: tuple[PipPlan, ...]) -> None:
    _run([sys.executable, "-m", "venv", str(folder)])
    pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    *firsts, last = plans
    for plan in firsts:
        try:
            for arguments in plan:
                _run([*pip, *arguments])
        except RuntimeError:
            continue
        return
    for arguments in last:
        _run([*pip, *arguments])


def _make_node(folder: Path, packages: dict[str, str]) -> None:
    folder.mkdir(parents=True)
    manifest = {"name": "clients", "private": True, "type": "module", "dependencies": packages}
    (folder / "package.json").write_text(json.dumps(manifest))
    _run(["npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=folder)


def _run(command: list[str], *, cwd: Path | None = None) -> str:
    ended = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{ended.stdout}{ended.stderr}")
    return ended.stdout
