"""Settings: file < environment < flags; what is not known is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipewren.errors import StartError
from pipewren.settings import Settings
from pipewren.settings_sources import read_settings


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "pipewren.toml").write_text("port = 1\nhost = '::1'\nworkspace = 'file'\n")
    settings = read_settings(
        {"project_dir": tmp_path, "port": 3},
        environ={"PIPEWREN_PORT": "2", "PIPEWREN_HOST": "127.0.0.2", "OTHER": "x"},
    )
    assert (settings.port, settings.host, settings.workspace) == (3, "127.0.0.2", "file")


def test_without_anything_the_defaults_hold(tmp_path: Path) -> None:
    settings = read_settings({"project_dir": tmp_path, "port": None}, environ={})
    assert (settings.host, settings.port) == ("127.0.0.1", 7181)
    assert settings.store_dir == tmp_path / ".pipewren"


@pytest.mark.parametrize(
    ("file", "environ", "expected"),
    [
        ("prot = 1", {}, r"Unknown setting prot in .*pipewren\.toml: did you mean port in"),
        ("", {"PIPEWREN_HOTS": "x"}, r"PIPEWREN_HOTS \(environment\): did you mean PIPEWREN_HOST"),
        ("", {"PIPEWREN_ZZZ": "x"}, r"PIPEWREN_ZZZ \(environment\): see docs/settings\.md"),
        ("port = 70000", {}, r"port in .*: Input should be less than or equal to 65535"),
        ("", {"PIPEWREN_PORT": "x"}, r"PIPEWREN_PORT \(environment\): Input should be a valid int"),
        ("port = ", {}, r"pipewren\.toml is not valid TOML"),
    ],
)
def test_a_wrong_setting_is_named_with_its_source(
    tmp_path: Path, file: str, environ: dict[str, str], expected: str
) -> None:
    if file:
        (tmp_path / "pipewren.toml").write_text(file)
    with pytest.raises(StartError, match=expected):
        read_settings({"project_dir": tmp_path}, environ=environ)


def test_a_secret_is_in_no_message_and_no_text_of_the_settings(tmp_path: Path) -> None:
    secret = "a-secret-admin-token"
    settings = read_settings({"project_dir": tmp_path}, environ={"PIPEWREN_ADMIN_TOKEN": secret})
    assert secret not in repr(settings)
    assert settings.admin_token is not None
    assert settings.admin_token.get_secret_value() == secret
    with pytest.raises(StartError) as raised:
        read_settings({"project_dir": tmp_path}, environ={"PIPEWREN_ADMIN_TOKEN": "short"})
    assert "short'" not in str(raised.value)
    assert "PIPEWREN_ADMIN_TOKEN" in str(raised.value)


def test_trusted_proxies_are_addresses_and_networks_in_a_list_or_a_text(tmp_path: Path) -> None:
    (tmp_path / "pipewren.toml").write_text("trusted_proxies = ['127.0.0.1', '10.0.0.0/8']\n")
    from_file = read_settings({"project_dir": tmp_path}, environ={})
    assert list(map(str, from_file.trusted_proxies)) == ["127.0.0.1/32", "10.0.0.0/8"]
    environ = {"PIPEWREN_TRUSTED_PROXIES": "::1, fd00::/8,"}
    from_environment = read_settings({"project_dir": tmp_path}, environ=environ)
    assert list(map(str, from_environment.trusted_proxies)) == ["::1/128", "fd00::/8"]
    assert read_settings({}, environ={}).trusted_proxies == ()


@pytest.mark.parametrize("value", ["10.0.0.1/8", "localhost", "10.0.0.0/33", "5", [5], {"a": 1}])
def test_what_is_no_network_is_no_trusted_proxy(value: object) -> None:
    with pytest.raises(StartError, match=r"--trusted-proxies: .*(CIDR|networks)"):
        read_settings({"trusted_proxies": value}, environ={})


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.example.com", "https://api.example.com"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
        ("https://example.com/analytics//", "https://example.com/analytics"),
    ],
)
def test_a_public_url_is_kept_without_its_final_slash(url: str, expected: str) -> None:
    assert read_settings({"public_url": url}, environ={}).public_url == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example.com",
        "ftp://api.example.com",
        "https://",
        "https://api.example.com/?a=1",
        "https://api.example.com?",
        "https://api.example.com/#top",
        "https://user:password@api.example.com",
        "https://api.example.com:99999",
        "https://api example.com",
        "https://[::1",
        "https://api.example.com/\r\nX: y",
        "javascript:alert(1)",
    ],
)
def test_a_public_url_that_is_none_stops_the_start(url: str) -> None:
    with pytest.raises(StartError, match=r"PIPEWREN_PUBLIC_URL \(environment\)") as raised:
        read_settings({}, environ={"PIPEWREN_PUBLIC_URL": url})
    assert "password" not in str(raised.value)


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())
