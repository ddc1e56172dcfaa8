"""Dockerfile.rq-gpu, as far as it can be looked into without building it: what it copies is there and is enough."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.provision.site import free_ports

ROOT = Path(__file__).parents[1]
WORDS = (ROOT / "Dockerfile.rq-gpu").read_text(encoding="utf-8")
#: What the worker over HTTP must do without.
NOT_THERE = ("flask", "sqlalchemy", "alembic", "redis", "rq", "jinja2", "werkzeug", "limits", "gunicorn")
ENDS_WITHIN_S = 60.0


def stages() -> dict[str, list[tuple[str, str]]]:
    """Stage -> its instructions as (word, rest), lines joined, comments gone."""
    text = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", WORDS, flags=re.MULTILINE))
    found: dict[str, list[tuple[str, str]]] = {"": []}
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found[rest.rpartition(" AS ")[2]] = []
        found[list(found)[-1]].append((word, rest.strip()))
    return found


def rest_of(stage: str, word: str) -> list[str]:
    return [rest for each, rest in stages()[stage] if each == word]


def lay_out(stage: str, folder: Path) -> Path:
    """The files of a stage as COPY would lay them."""
    for rest in rest_of(stage, "COPY"):
        *sources, target = shlex.split(rest)
        for source in sources:
            path = ROOT / source
            if path.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(path, folder / target, ignore=ignored, dirs_exist_ok=True)
            else:
                place = folder / target
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, place)
    return folder


def versions(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("stage", ["remote", "rq"])
def test_everything_it_copies_is_there_and_reaches_the_build(stage: str) -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [source for rest in rest_of(stage, "COPY") for source in shlex.split(rest)[:-1]]
    assert len(copied) > 3
    assert [source for source in copied if not (ROOT / source).exists()] == []
    assert [source for source in copied if source.split("/")[0] not in allowed] == []


@pytest.mark.parametrize("stage", ["remote", "rq"])
def test_it_runs_as_a_user_of_its_own_and_is_stopped_politely(stage: str) -> None:
    assert rest_of(stage, "USER") == ["vlog"]
    words = [word for word, _ in stages()[stage]]
    assert words.index("USER") > max(n for n, word in enumerate(words) if word in ("COPY", "RUN"))
    assert all(json.loads(rest) for rest in rest_of(stage, "CMD")), "without a shell, so that SIGTERM arrives"
    assert rest_of("host", "STOPSIGNAL") == ["SIGTERM"]


def test_the_driver_gives_what_encoding_needs() -> None:
    (told,) = rest_of("host", "ENV")
    assert "NVIDIA_DRIVER_CAPABILITIES=compute,utility,video" in told
    (installed,) = rest_of("host", "RUN")
    for package in ("ffmpeg", "mesa-va-drivers", "$INTEL_DRIVER", "libmfx-gen1.2", "python3-venv"):
        assert package in installed


def test_the_build_argument_names_one_of_the_two() -> None:
    assert ("ARG", "WORKER=remote") in stages()[""]
    assert rest_of("worker", "FROM") == ["${WORKER} AS worker"]


def test_the_short_list_has_the_versions_of_the_long_one() -> None:
    short, long = versions("requirements-worker.lock"), versions("requirements.lock")
    assert {"av", "httpx2", "pydantic"} <= set(short)
    assert not set(short) & set(NOT_THERE)
    assert short == {name: long[name] for name in short}


def test_what_the_remote_worker_gets_is_enough_to_work(tmp_path: Path) -> None:
    """Flask and the database are here, so they are made to look as if they were not."""
    tree = lay_out("remote", tmp_path / "tree")
    away = f"import sys\nsys.modules.update(dict.fromkeys({NOT_THERE!r}))\n"
    (tmp_path / "sitecustomize.py").write_text(away)
    works(sys.executable, tree, tmp_path)


@pytest.mark.slow
def test_its_list_installs_into_an_empty_environment_and_works_there(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = str(tmp_path / "venv/bin/python")
    (options,) = [rest for rest in rest_of("remote", "RUN") if rest.startswith("pip install")]
    subprocess.run([python, "-m", *shlex.split(options)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    for name in NOT_THERE:
        assert subprocess.run([python, "-c", f"import {name}"], capture_output=True).returncode == 1
    works(python, lay_out("remote", tmp_path / "tree"), tmp_path)


def works(python: str, tree: Path, folder: Path) -> None:
    """It explains itself, says what is missing, starts, answers its health check, and leaves when it is asked to."""
    (command,) = rest_of("remote", "CMD")
    run = [python, *json.loads(command)[1:]]
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(folder),
        "VLOG_WORKER_WORK_DIR": str(folder / "work"),
    }
    helped = subprocess.run([*run, "--help"], cwd=tree, env=environment, capture_output=True, text=True)
    assert (helped.returncode, "--api" in helped.stdout) == (0, True), helped.stderr
    keyless = subprocess.run(run, cwd=tree, env=environment, capture_output=True, text=True)
    assert keyless.returncode == 1 and "Set VLOG_WORKER_API_KEY" in keyless.stderr, keyless.stderr
    port = free_ports()
    environment |= {"VLOG_WORKER_HEALTH_PORT": str(port), "VLOG_WORKER_API_KEY": "vlw_x"}
    environment |= {"VLOG_WORKER_API_URL": f"http://127.0.0.1:{port + 1}", "VLOG_FFMPEG": ffmpeg()}
    (check,) = rest_of("remote", "HEALTHCHECK")
    probe = [python, *json.loads(check.partition("CMD")[2])[1:]]
    with subprocess.Popen(run, cwd=tree, env=environment, stderr=subprocess.PIPE, text=True) as worker:
        try:
            assert health(port, worker) == 503, "nobody answers at the site"
            assert subprocess.run(probe, env=environment, capture_output=True).returncode == 1
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(ENDS_WITHIN_S) == 0
        finally:
            worker.kill()


def health(port: int, worker: subprocess.Popen[str]) -> int:
    ends_at = time.monotonic() + ENDS_WITHIN_S
    while time.monotonic() < ends_at:
        assert worker.poll() is None, worker.stderr and worker.stderr.read()
        try:
            return int(urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).status)
        except urllib.error.HTTPError as answer:
            return answer.code
        except OSError:
            time.sleep(0.1)
    raise AssertionError("its health port does not answer")


def ffmpeg() -> str:
    from vlog_app.ffmpeg import find_ffmpeg

    return find_ffmpeg("").path


def test_what_has_no_wheel_is_built_as_the_install_script_builds_it() -> None:
    script = (ROOT / "ops" / "install.sh").read_text(encoding="utf-8")
    (built,) = re.findall(r"--no-binary (\S+)", script)
    (line,) = [rest for rest in rest_of("rq", "RUN") if "pip install" in rest]
    assert f"--no-binary {built} " in line
