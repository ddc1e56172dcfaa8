"""Settings: one sentence for a wrong value, one notice for a name that is not read, none that nobody reads."""

import ast
import re
from pathlib import Path

import pytest

from vlog_app import config as config_module
from vlog_app.cli.settings import markdown
from vlog_app.config import Settings, SettingsError, load_settings, notices
from vlog_app.setting_names import RESERVED

ROOT = Path(__file__).parents[1]


def test_the_quick_start_needs_no_settings() -> None:
    config = load_settings({})
    assert config.storage_path == Path.cwd() / "var"
    assert config.database_url == f"sqlite:///{Path.cwd()}/var/vlog.db"
    assert config.is_loopback


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("VLOG_PUBLIC_PORT", "abc", "a whole number from 1 to 65535"),
        ("VLOG_PUBLIC_PORT", "0", "a whole number from 1 to 65535"),
        ("VLOG_PUBLIC_PORT", "65536", "a whole number from 1 to 65535"),
        ("VLOG_WORKER_CLAIM_DURATION", "0", "a number of minutes above 0 and at most 1440"),
        ("VLOG_RATE_LIMIT_ENABLED", "maybe", "true or false"),
        ("VLOG_SECURE_COOKIES", "maybe", "true or false"),
        ("VLOG_X264_PRESET", "zip", "one of ultrafast, superfast, veryfast"),
        ("VLOG_RATE_LIMIT_PUBLIC_DEFAULT", "many", "a limit such as 100/minute"),
        ("VLOG_VIDEOS_SUBDIR", "../videos", "a folder name"),
        ("VLOG_DATABASE_URL", "mysql://x/y", "a sqlite:/// or postgresql:// address"),
        ("VLOG_ADMIN_API_URL", "localhost", "an http or https address"),
        ("VLOG_BIND_ADDRESS", "everywhere", "an IP address such as 127.0.0.1 or 0.0.0.0"),
    ],
)
def test_a_wrong_value_is_one_sentence(name: str, value: str, allowed: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({name: value})
    sentence = str(caught.value)
    assert sentence.startswith(f'{name} is "{value}": it must be {allowed}')
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_a_wrong_value_never_shows_a_password() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"VLOG_DATABASE_URL": "mysql://vlog:hunter2@localhost/vlog"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "processes"), [("sqlite:////tmp/vlog.db", 1), ("postgresql://localhost/vlog", 2)]
)
def test_the_worker_api_has_two_processes_where_two_can_write(
    url: str, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    assert load_settings({"VLOG_DATABASE_URL": url}).worker_api_processes == processes
    asked = {"VLOG_DATABASE_URL": url, "VLOG_WORKER_API_PROCESSES": "3"}
    assert load_settings(asked).worker_api_processes == 3
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    assert load_settings({"VLOG_DATABASE_URL": url}).worker_api_processes == 1


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_every_way_to_write_a_postgresql_address_works(scheme: str) -> None:
    config = load_settings({"VLOG_DATABASE_URL": f"{scheme}://vlog:x@localhost/vlog"})
    assert config.database_url == "postgresql+psycopg2://vlog:x@localhost/vlog"


def test_no_login_is_refused_beyond_loopback() -> None:
    assert load_settings({"VLOG_ADMIN_API_SECRET": ""}).admin_api_secret == ""
    with pytest.raises(SettingsError, match="VLOG_ADMIN_API_SECRET is set to nothing"):
        load_settings({"VLOG_ADMIN_API_SECRET": "", "VLOG_BIND_ADDRESS": "0.0.0.0"})


def test_an_empty_value_means_the_default() -> None:
    assert load_settings({"VLOG_PUBLIC_PORT": "", "VLOG_DATABASE_URL": ""}) == load_settings({})


def test_three_surfaces_need_three_ports() -> None:
    with pytest.raises(SettingsError, match="three different ports"):
        load_settings({"VLOG_ADMIN_PORT": "9000"})


def test_a_secret_can_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a file\n")
    config = load_settings({"VLOG_ADMIN_API_SECRET_FILE": str(tmp_path / "secret")})
    assert config.admin_api_secret == "from a file"
    with pytest.raises(SettingsError, match="VLOG_ADMIN_API_SECRET_FILE is"):
        load_settings({"VLOG_ADMIN_API_SECRET_FILE": str(tmp_path / "missing")})


def test_secrets_are_never_shown() -> None:
    config = Settings(
        admin_api_secret="hunter2",
        database_url="postgresql://vlog:hunter2@db/vlog",
    )
    assert "hunter2" not in " ".join(row.value for row in config.describe())
    assert "hunter2" not in repr(config).replace(config.database_url, "")


@pytest.mark.parametrize(
    ("name", "notice"),
    [
        ("VLOG_PUBLIC_PROT", "is not a setting of VLog and was ignored; did you mean VLOG_PUBLIC_PORT?"),
        ("VLOG_QQQ", "is not a setting of VLog and was ignored."),
        ("VLOG_WHISPER_MODEL", "is known but this version does not use it yet."),
        ("VLOG_REDIS_STREAM_MAX_LEN", "is no longer used: RQ replaced Redis Streams."),
    ],
)
def test_a_name_that_is_not_read_gets_one_notice(name: str, notice: str) -> None:
    assert notices({name: "1", "PATH": "/bin", "VLOG_PUBLIC_PORT": "9000"}) == [f"{name} {notice}"]


def test_no_setting_is_also_reserved() -> None:
    assert not set(config_module.known_variables()) & set(RESERVED)


def test_every_setting_is_read_by_code() -> None:
    derived = Path(config_module.__file__)
    attributes: set[str] = set()
    for folder in ("vlog_app", "jobs"):
        for path in (ROOT / folder).rglob("*.py"):
            if path != derived:
                attributes |= attributes_read(path)
    inside = attributes_read(derived)  # what a property or init_app passes on
    unread = [name for name in Settings.model_fields if name not in attributes and name not in inside]
    assert not unread, f"settings that nothing reads; use them or move them to RESERVED: {', '.join(unread)}"


def attributes_read(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def test_docs_are_what_the_code_says() -> None:
    assert (ROOT / "docs/settings.md").read_text(encoding="utf-8") == markdown(), (
        "docs/settings.md is old; run: flask vlog settings --markdown > docs/settings.md"
    )


def test_docs_are_the_same_on_every_machine() -> None:
    assert not re.search(r"/(home|root|work|tmp)/", markdown())
