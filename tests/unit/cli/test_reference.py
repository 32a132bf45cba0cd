"""The pages of `docs/` that are written from the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipewren import errors
from pipewren.cli import reference
from pipewren.settings import Settings


def test_all_pages_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert reference.main(["--check"]) == 0, capsys.readouterr().err


def test_a_stale_page_fails_the_check_and_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "DOCS", tmp_path)
    assert reference.main(["--check"]) == 1
    assert list(tmp_path.iterdir()) == []
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0
    (tmp_path / "errors.md").write_text("old")
    assert reference.main(["--check"]) == 1


def test_every_setting_and_every_error_is_on_its_page() -> None:
    settings = reference.settings_page()
    assert all(f"`{name}`" in settings for name in Settings.model_fields)
    page = reference.errors_page()
    assert all(
        name in page
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.PipewrenError)
    )


def test_the_help_of_every_subcommand_is_on_its_page() -> None:
    page = reference.command_page()
    for name in ("serve", "token"):
        assert f"## pipewren {name}" in page
