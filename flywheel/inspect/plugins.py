"""What is installed: origin, version, settings and documentation of every plugin, and what is wrong with the broken ones."""

import dataclasses
import inspect
from typing import TYPE_CHECKING, Any

from flywheel.errors import PluginError
from flywheel.plugins import GROUPS, find, installed

if TYPE_CHECKING:
    from rich.table import Table


def describe() -> list[dict[str, Any]]:
    """One row a plugin: kind, name, origin (distribution and version), target, settings, about, problem (None when sound).

    Loads every plugin, so it is for people; the graph loads only what is named.
    """
    rows = []
    for kind in GROUPS:
        for plugin in installed(kind):
            row: dict[str, Any] = {
                "kind": kind,
                "name": plugin.name,
                "origin": f"{plugin.distribution} {plugin.version}",
                "target": plugin.target,
                "settings": "",
                "about": "",
                "problem": None,
            }
            try:
                find(kind, plugin.name)
                cls = plugin.load()
            except PluginError as error:
                row["problem"] = str(error)
            else:
                row["settings"] = ", ".join(_setting(field) for field in dataclasses.fields(cls) if field.init)
                row["about"] = (inspect.getdoc(cls) or "").partition("\n")[0]
            rows.append(row)
    return rows


def _setting(field: "dataclasses.Field[Any]") -> str:
    if field.default is not dataclasses.MISSING:
        return f"{field.name}={field.default!r}"
    if field.default_factory is not dataclasses.MISSING:
        return f"{field.name}={field.default_factory()!r}"
    return field.name


def plugin_table(rows: list[dict[str, Any]]) -> "Table":
    """The rows for a terminal."""
    from rich.table import Table
    from rich.text import Text

    table = Table("kind", "name", "from", "settings", "what it does", box=None, header_style="bold", pad_edge=False)
    for row in rows:
        about = Text(row["problem"], style="red") if row["problem"] else Text(row["about"])
        table.add_row(row["kind"], row["name"], row["origin"], Text(row["settings"]), about)
    return table
