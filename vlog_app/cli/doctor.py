"""`flask vlog doctor`: what is right and wrong with this installation, and what to do about it."""

import json

import click
from flask.cli import with_appcontext

from ..config import notices, settings


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_appcontext
def doctor(as_json: bool) -> None:
    """Check ffmpeg, storage, disk, ports and database; exit status 1 when something is wrong."""
    from ..preflight import Check, doctor_checks

    checks: list[Check] = [check() for check in doctor_checks(settings())]
    if as_json:
        rows = [{"name": c.name, "ok": c.is_ok, "detail": c.detail, "remedy": c.remedy} for c in checks]
        click.echo(json.dumps({"checks": rows, "notices": notices()}, indent=2))
    else:
        for check in checks:
            mark = (
                click.style("ok      ", fg="green")
                if check.is_ok
                else click.style("PROBLEM ", fg="red", bold=True)
            )
            click.echo(f"{mark} {check.name:<14} {check.sentence()}")
        for notice in notices():
            click.echo(f"note     {notice}")
    if not all(check.is_ok for check in checks):
        raise SystemExit(1)
