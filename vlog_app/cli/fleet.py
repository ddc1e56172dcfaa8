"""A client of the worker API for the owner: `flask vlog worker register | list | status | revoke | drain`."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click
from flask.cli import with_appcontext

from ..config import settings

Command = TypeVar("Command", bound=Callable[..., Any])


def as_json_option(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


@click.command("register")
@click.argument("name", required=False, default="")
@click.option(
    "--days", type=click.IntRange(1, 3650), help="Its key ends after so many days; else only when revoked."
)
@as_json_option
@with_appcontext
def register(name: str, days: int | None, as_json: bool) -> None:
    """Register a remote worker called NAME, and show its key. It is shown this once."""
    wanted = {"worker_name": name or None, "key_days": days}
    new = _call("POST", "/api/worker/register", {k: v for k, v in wanted.items() if v is not None})
    if as_json:
        click.echo(json.dumps(new))
        return
    click.echo(f"{new['message']}\n\n  Worker  {new['worker_id']}\n  Key     {new['api_key']}\n")
    click.echo("On the other host, with that key in the environment as VLOG_WORKER_API_KEY:\n")
    click.echo(f"  python -m jobs work --api {settings().worker_api_url}")


@click.command("list")
@as_json_option
@with_appcontext
def list_workers(as_json: bool) -> None:
    """Show every worker, newest first."""
    answer = _call("GET", "/api/workers")
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    elif answer["workers"]:
        _print_table(answer["workers"])
    else:
        click.echo("No workers yet. Register one: flask vlog worker register NAME")


@click.command("status")
@click.argument("worker")
@as_json_option
@with_appcontext
def status(worker: str, as_json: bool) -> None:
    """Show what WORKER, a name or an id, is doing and what it can do."""
    found = _find(worker)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for name in ("worker_name", "worker_id", "worker_type", "status", "last_heartbeat", "current_video_slug"):
        click.echo(f"{name.replace('_', ' '):<20} {found[name] if found[name] is not None else '-'}")
    for name, value in {**found["capabilities"], **found["facts"]}.items():
        click.echo(
            f"{name.replace('_', ' '):<20} {value if isinstance(value, str | int) else json.dumps(value)}"
        )


@click.command("revoke")
@click.argument("worker")
@as_json_option
@with_appcontext
def revoke(worker: str, as_json: bool) -> None:
    """Make the key of WORKER worthless at once, and give its jobs to others."""
    _decide(worker, "revoke", {}, as_json)


@click.command("drain")
@click.argument("worker")
@click.option("--off", is_flag=True, help="Give it work again.")
@as_json_option
@with_appcontext
def drain(worker: str, off: bool, as_json: bool) -> None:
    """Let WORKER finish what it has, and give it nothing new."""
    _decide(worker, "drain", {"on": not off}, as_json)


@click.command("disable")
@click.argument("worker")
@click.option("--off", is_flag=True, help="Let it work again.")
@as_json_option
@with_appcontext
def disable(worker: str, off: bool, as_json: bool) -> None:
    """Refuse WORKER from now on, and give its jobs to others; its key stays good for later."""
    _decide(worker, "disable", {"on": not off}, as_json)


def _decide(worker: str, verb: str, body: dict[str, Any], as_json: bool) -> None:
    found = _find(worker)
    answer = _call("POST", f"/api/workers/{found['worker_id']}/{verb}", body)
    words = f"{found['worker_name']}: {answer['message']}"
    click.echo(json.dumps(answer | {"worker_id": found["worker_id"]}) if as_json else words)


def _find(worker: str) -> dict[str, Any]:
    """By id, else by name, which must then be the only one."""
    listed = _call("GET", "/api/workers")["workers"]
    found = [each for each in listed if each["worker_id"] == worker]
    found = found or [each for each in listed if each["worker_name"] == worker]
    if len(found) > 1:
        ids = ", ".join(each["worker_id"] for each in found)
        raise click.ClickException(f"{len(found)} workers are called {worker}; use an id: {ids}")
    if not found:
        raise click.ClickException(f"There is no worker {worker}; see: flask vlog worker list")
    chosen: dict[str, Any] = found[0]
    return chosen


def _call(method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Raises ClickException with one sentence for whatever goes wrong."""
    import httpx2

    config = settings()
    if not config.worker_admin_secret:
        raise click.ClickException("Set VLOG_WORKER_ADMIN_SECRET to the secret that the worker API has.")
    url = config.worker_api_url.rstrip("/")
    try:
        answer = httpx2.request(
            method,
            f"{url}{path}",
            json=body,
            headers={"X-Admin-Secret": config.worker_admin_secret},
            timeout=config.api_timeout,
        )
        facts = answer.json()
    except httpx2.HTTPError:
        raise click.ClickException(
            f"Nothing answers at {url}; start VLog, or set VLOG_WORKER_API_URL."
        ) from None
    except ValueError:
        raise click.ClickException(f"{url} is no worker API of VLog; set VLOG_WORKER_API_URL.") from None
    if not answer.is_success:
        raise click.ClickException(_words_of(facts))
    return dict(facts)


def _words_of(facts: Any) -> str:
    detail = facts.get("detail", "") if isinstance(facts, dict) else ""
    if isinstance(detail, list):
        return "; ".join(f"{each['loc'][-1]}: {each['msg']}" for each in detail)
    return str(detail) or "The worker API refused that."


def _print_table(workers: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("Name", "Status", "Kind", "Video", "Last heard", "Id"):
        table.add_column(heading, overflow="fold")
    for worker in workers:
        row = (
            worker["worker_name"],
            worker["status"],
            worker["worker_type"],
            worker["current_video_slug"],
            (worker["last_heartbeat"] or "never")[:19],
            worker["worker_id"],
        )
        table.add_row(*(value or "-" for value in row))
    Console().print(table)
