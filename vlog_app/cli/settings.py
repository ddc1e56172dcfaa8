"""`flask vlog settings`: what is set, and the generator of docs/settings.md."""

import json

import click
from flask.cli import with_appcontext

from ..config import Settings, notices, settings
from ..setting_names import RESERVED, RETIRED
from ..setting_words import SettingRow

INTRODUCTION = """\
# Settings

Every setting is an environment variable. A wrong value stops VLog at start with one sentence that names the
variable, the value and what is allowed. A name that VLog does not know is warned about. Any value can be read from
a file instead: set `VLOG_X_FILE` to its path, for example `VLOG_ADMIN_API_SECRET_FILE=/run/secrets/vlog`.

This page is written by `flask vlog settings --markdown` and checked by a test.

| name | default | allowed | meaning |
| --- | --- | --- | --- |
"""


@click.command("settings")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print docs/settings.md.")
@with_appcontext
def show_settings(as_json: bool, as_markdown: bool) -> None:
    """Show every setting, its value and its meaning; secrets are hidden."""
    rows = settings().describe()
    if as_markdown:
        click.echo(markdown(), nl=False)
    elif as_json:
        click.echo(json.dumps([_as_json(row) for row in rows], indent=2))
    else:
        _print_table(rows)


def markdown() -> str:
    """docs/settings.md: the same on every machine, so it says defaults and no values."""
    lines = [
        f"| `{row.name}` | {_cell(row.default)} | {row.allowed} | {row.meaning} |"
        for row in Settings().describe()
    ]
    reserved = ", ".join(f"`{name}`" for name in RESERVED)
    retired = ", ".join(f"`{name}`" for name in RETIRED)
    return (
        INTRODUCTION
        + "\n".join(lines)
        + "\n\n## Known, not used yet\n\n"
        + f"Accepted with a notice, so that existing environment files go on working: {reserved}.\n"
        + f"\nNo longer used, because RQ replaced Redis Streams: {retired}.\n"
    )


def _cell(default: str) -> str:
    return default if default in ("empty", "generated") else f"`{default}`"


def _as_json(row: SettingRow) -> dict[str, object]:
    return {
        "name": row.name,
        "value": row.value,
        "default": row.default,
        "allowed": row.allowed,
        "meaning": row.meaning,
        "is_changed": row.value != row.default,
    }


def _print_table(rows: list[SettingRow]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("Name", "Value", "Meaning"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(row.name, row.value, row.meaning)
    Console().print(table)
    for notice in notices():
        click.echo(notice, err=True)
