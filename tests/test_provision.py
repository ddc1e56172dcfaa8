"""The servers the tests stand on are real, private and fresh."""

from typing import Any

import psycopg2
import pytest
from sqlalchemy import create_engine, text

from tests.provision.postgres import Postgres
from tests.provision.redis import Redis
from vlog_app.ffmpeg import find_ffmpeg


def plain(url: str) -> str:
    return url.replace("postgresql+psycopg2", "postgresql")


def test_each_postgres_database_is_a_clone_of_its_own(postgres_server: Postgres) -> None:
    with postgres_server.database() as first, postgres_server.database() as second:
        engine = create_engine(first)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE only_here (id int)"))
            assert connection.scalar(text("SELECT count(*) FROM alembic_version")) == 1
        engine.dispose()
        other = psycopg2.connect(plain(second))
        with other.cursor() as cursor:
            cursor.execute("SELECT to_regclass('only_here')")
            assert cursor.fetchone() == (None,)
        other.close()


def test_what_a_test_wrote_is_gone_and_numbers_begin_at_one_again(postgres_server: Postgres) -> None:
    times = "created_at, expires_at, last_seen_at"
    add = f"INSERT INTO admin_sessions (token_sha256, {times}) VALUES ('x', now(), now(), now()) RETURNING id"
    for _test in range(2):
        with postgres_server.database() as url:
            left_open = psycopg2.connect(plain(url))
            with left_open.cursor() as cursor:
                cursor.execute(add)
                assert cursor.fetchone() == (1,)
            left_open.commit()
            with left_open.cursor() as cursor:
                cursor.execute(
                    "SELECT id FROM admin_sessions FOR UPDATE"
                )  # held by nobody once the test is over


def test_a_dropped_database_is_gone(postgres_server: Postgres) -> None:
    with postgres_server.database(is_empty=True) as url:
        psycopg2.connect(plain(url)).close()
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(plain(url))


@pytest.mark.browser
def test_the_browser_runs_scripts(browser: Any) -> None:
    page = browser.new_page()
    page.set_content("<title>x</title><p id='here'>there</p>")
    assert page.evaluate("document.getElementById('here').textContent") == "there"
    page.close()


def test_ffmpeg_can_make_what_we_need(ffmpeg_path: str) -> None:
    assert find_ffmpeg(ffmpeg_path).missing == []


def test_redis_is_empty_for_each_test(redis_server: Redis, redis_url: str) -> None:
    assert redis_server.ask("DBSIZE") == ":0"
    assert redis_server.ask("SET left behind") == "+OK"
    assert redis_url.startswith("unix:///")
