"""Holds the arrows vlog_app -> jobs -> encoder, and names the room a stray line belongs to."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("encoder", "jobs", "vlog_app", "wsgi", "tests", "migrations")
WEB = ("flask", "werkzeug", "jinja2", "flask_sqlalchemy", "flask_limiter", "flask_htmx", "flask_migrate")
DATABASE = ("sqlalchemy", "alembic", "psycopg2", "sqlite3")
REQUEST_WORDS = (
    "request",
    "g",
    "session",
    "render_template",
    "render_template_string",
    "url_for",
    "flash",
    "redirect",
)
JOINS = ("bootstrap.py", "housekeeping.py")
PROCESS_CALLS = ("Popen", "run", "call", "check_call", "check_output")


@dataclass(frozen=True, slots=True)
class Import:
    path: Path
    line: int
    module: str
    names: tuple[str, ...]

    @property
    def top(self) -> str:
        return self.module.split(".")[0]

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line} imports {self.module} ({', '.join(self.names)})"


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imports(path: Path) -> Iterator[Import]:
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in nodes(path):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(path, node.lineno, alias.name, ())
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            names = tuple(alias.name for alias in node.names)
            yield Import(path, node.lineno, ".".join((*base, *filter(None, [node.module]))), names)


def runtime_imports(*folders: str) -> list[Import]:
    """Every import that runs; those under `if TYPE_CHECKING` only describe."""
    return [
        each for path in sources(*folders) for each in imports(path) if each.line not in typing_lines(path)
    ]


@cache
def typing_lines(path: Path) -> set[int]:
    lines: set[int] = set()
    for node in nodes(path):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            lines.update(range(node.lineno, (node.body[-1].end_lineno or node.lineno) + 1))
    return lines


def reject(strays: list[Import], room: str) -> None:
    listed = "\n  ".join(str(stray) for stray in strays)
    assert not strays, f"{room}\n  {listed}"


def test_there_is_something_to_read() -> None:
    assert len(sources("encoder")) > 5
    assert len(sources("jobs")) > 5
    assert len(sources("vlog_app")) > 20
    assert any(each.module == "vlog_app.extensions" for each in runtime_imports("vlog_app/services"))


def test_encoder_knows_only_media() -> None:
    allowed = {"encoder", "av"}
    strays = [
        each for each in runtime_imports("encoder") if each.top not in allowed and not is_standard(each.top)
    ]
    reject(strays, "encoder/ turns files into files; work belongs to jobs/, rows and pages to vlog_app/:")


def test_jobs_know_no_web_and_no_database() -> None:
    forbidden = (*WEB, *DATABASE, "vlog_app", "wsgi")
    strays = [
        each for each in runtime_imports("jobs") if each.top in forbidden and each.path.name not in JOINS
    ]
    reject(
        strays,
        "jobs/ carries a job out; rows belong to vlog_app/services/, joining the two to bootstrap and housekeeping:",
    )


@pytest.mark.parametrize("name", JOINS)
def test_what_joins_jobs_to_the_site_reaches_for_it_only_when_it_runs(name: str) -> None:
    path = ROOT / "jobs" / name
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top_level = {node.lineno for node in tree.body}
    strays = [each for each in imports(path) if each.top == "vlog_app" and each.line in top_level]
    reject(
        strays,
        "jobs/ must load on a host without Flask; import vlog_app inside the function that needs it:",
    )


def test_queue_libraries_stay_in_their_files() -> None:
    rooms = {
        "rq": ("rq_tasks.py", "queues.py", "periodic.py"),
        "rq_scheduler": ("periodic.py",),
        "httpx2": (),
    }
    rooms["httpx2"] = ("http_client.py",)
    strays = [
        each
        for each in runtime_imports("jobs")
        if each.top in rooms and each.path.name not in rooms[each.top]
    ]
    reject(strays, "rq belongs to jobs/rq_tasks.py, queues.py and periodic.py; HTTP to jobs/http_client.py:")


def test_services_know_no_request_and_no_page() -> None:
    strays = [
        each
        for each in runtime_imports("vlog_app/services")
        if "blueprints" in each.module
        or "blueprints" in each.names
        or (each.top == "flask" and set(each.names) & set(REQUEST_WORDS))
    ]
    reject(
        strays, "services/ decide and write rows; what speaks HTTP or HTML belongs to vlog_app/blueprints/:"
    )


def test_only_the_public_and_the_admin_views_import_views() -> None:
    strays = [
        each
        for each in runtime_imports("vlog_app/models", "vlog_app/services")
        if each.module.startswith(("vlog_app.blueprints", "vlog_app.cli"))
    ]
    reject(strays, "models/ and services/ stand below the views; turn the arrow round:")


@dataclass(frozen=True, slots=True)
class Use:
    path: Path
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line} {self.what}"


def reject_uses(strays: list[Use], room: str) -> None:
    listed = "\n  ".join(str(stray) for stray in strays)
    assert not strays, f"{room}\n  {listed}"


def attribute_uses(folders: tuple[str, ...], owner: str, names: tuple[str, ...]) -> list[Use]:
    found = []
    for path in sources(*folders):
        for node in nodes(path):
            if isinstance(node, ast.Attribute) and node.attr in names and ast.unparse(node.value) == owner:
                found.append(Use(path, node.lineno, f"uses {owner}.{node.attr}"))
    return found


def test_only_config_reads_the_environment() -> None:
    strays = [
        use
        for use in attribute_uses(("vlog_app",), "os", ("environ", "getenv", "environb"))
        if use.path != ROOT / "vlog_app/config.py"
    ]
    reject_uses(strays, "vlog_app/config.py is the only reader of the environment; make it a setting:")


def test_processes_are_started_in_few_places() -> None:
    allowed = {"encoder/process.py", "encoder/caged.py", "encoder/probe.py", "vlog_app/ffmpeg.py"}
    strays = [
        use
        for use in attribute_uses(("encoder", "jobs", "vlog_app"), "subprocess", PROCESS_CALLS)
        if str(use.path.relative_to(ROOT)) not in allowed
    ]
    reject_uses(strays, "encoder/process.py runs programs, with limits and a watchdog:")
    forks = attribute_uses(("encoder", "jobs", "vlog_app"), "os", ("fork", "system", "popen", "posix_spawn"))
    reject_uses(
        [use for use in forks if use.path != ROOT / "vlog_app/forked.py"],
        "vlog_app/forked.py is the only one to fork:",
    )


def test_only_the_queue_moves_jobs() -> None:
    strays = []
    for path in sources("vlog_app"):
        if path.relative_to(ROOT).as_posix() == "vlog_app/services/queue.py":
            continue
        for node in nodes(path):
            if use := job_state_write(path, node):
                strays.append(use)
    reject_uses(strays, "vlog_app/services/queue.py is the only writer of a job's state; give it a verb:")


def job_state_write(path: Path, node: ast.AST) -> Use | None:
    """`job.state = ...`, `update(Job).values(state=...)`."""
    if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            if isinstance(target, ast.Attribute) and target.attr == "state" and names_a_job(target.value):
                return Use(path, node.lineno, f"assigns {ast.unparse(target)}")
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "values":
        sets_state = any(keyword.arg == "state" for keyword in node.keywords)
        if sets_state and "update(Job)" in ast.unparse(node.func.value):
            return Use(path, node.lineno, "updates Job.state")
    return None


def names_a_job(node: ast.expr) -> bool:
    last = ast.unparse(node).split(".")[-1].lower()
    return last == "job" or last.endswith("_job")


@pytest.mark.parametrize(
    ("code", "is_caught"),
    [
        ("job.state = JobState.DONE", True),
        ("claim.job.state = 'done'", True),
        ("session.execute(update(Job).where(Job.id == 1).values(state='done'))", True),
        ("video.state = 'ready'", False),
        ("session.execute(update(Video).values(state='ready'))", False),
        ("session.execute(update(Job).values(rank=1))", False),
    ],
)
def test_the_rule_about_job_state_can_fail(code: str, is_caught: bool) -> None:
    found = [job_state_write(ROOT / "x.py", node) for node in ast.walk(ast.parse(code))]
    assert any(found) == is_caught


def is_standard(module: str) -> bool:
    import sys

    return module in sys.stdlib_module_names or module == "__future__"
