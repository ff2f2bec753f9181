"""Grafana's dashboards and how it is given them, from ``deploy/dashboard_tables.py``.

``python -m deploy.grafana`` rewrites ``deploy/grafana/``; a test says when it is not current.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deploy.dashboard_tables import DASHBOARDS, Dashboard, Panel

FOLDER = Path(__file__).resolve().parent / "grafana"
COMMAND = "python -m deploy.grafana"
SOURCE_UID = "arbstream-prometheus"
SCHEMA = 39
"""Of a dashboard's JSON: Grafana 11, which newer ones read."""
MOUNTED = "/etc/grafana/arbstream"
"""Where Grafana's machine or container has the dashboards."""
COLUMNS, PANEL_ROWS, NUMBER_ROWS = 24, 8, 4
_SOURCE = {"type": "prometheus", "uid": SOURCE_UID}


def uid_of(dashboard: Dashboard) -> str:
    """Return what a dashboard is linked by; it never changes."""
    return f"arbstream-{dashboard.name}"


def dashboard_json(dashboard: Dashboard) -> dict[str, Any]:
    """Return a dashboard as Grafana reads it."""
    numbers = [panel for panel in dashboard.panels if panel.is_number]
    courses = [panel for panel in dashboard.panels if not panel.is_number]
    placed = [*_row(numbers, 0, 4, NUMBER_ROWS)]
    placed += _row(courses, NUMBER_ROWS if numbers else 0, 2, PANEL_ROWS)
    return {
        "uid": uid_of(dashboard),
        "title": dashboard.title,
        "tags": ["arbstream"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": False,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "utc",
        "graphTooltip": 1,
        "links": [
            {
                "type": "dashboards",
                "tags": ["arbstream"],
                "title": "arbstream",
                "asDropdown": True,
                "keepTime": True,
            }
        ],
        "panels": [
            _panel(number, panel, place) for number, (panel, place) in enumerate(placed, start=1)
        ],
    }


def _row(
    panels: list[Panel], top: int, side_by_side: int, rows: int
) -> list[tuple[Panel, dict[str, int]]]:
    """Return panels with their places, so many side by side."""
    width = COLUMNS // side_by_side
    return [
        (
            panel,
            {
                "x": index % side_by_side * width,
                "y": top + index // side_by_side * rows,
                "w": width,
                "h": rows,
            },
        )
        for index, panel in enumerate(panels)
    ]


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    absent = f"Empty {panel.absent}." if panel.absent else ""
    targets = [
        {
            "refId": chr(ord("A") + index),
            "datasource": _SOURCE,
            "expr": query.expression,
            "legendFormat": query.legend,
            "range": not panel.is_number,
            "instant": panel.is_number,
        }
        for index, query in enumerate(panel.queries)
    ]
    # What is absent is not known: no line is drawn across it.
    custom = {} if panel.is_number else {"spanNulls": False, "showPoints": "never"}
    return {
        "id": number,
        "type": "stat" if panel.is_number else "timeseries",
        "title": panel.title,
        "description": " ".join(text for text in (panel.about, absent) if text),
        "datasource": _SOURCE,
        "gridPos": place,
        "targets": targets,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "noValue": "unknown", "custom": custom},
            "overrides": [],
        },
        "options": {"textMode": "value_and_name"} if panel.is_number else {},
    }


def provisioning() -> dict[str, dict[str, Any]]:
    """Return by path what Grafana reads at its start; JSON is YAML."""
    return {
        "provisioning/datasources/arbstream.yml": {
            "apiVersion": 1,
            "datasources": [
                {
                    "name": "arbstream",
                    "uid": SOURCE_UID,
                    "type": "prometheus",
                    "access": "proxy",
                    "url": "http://127.0.0.1:9090",
                    "isDefault": True,
                }
            ],
        },
        "provisioning/dashboards/arbstream.yml": {
            "apiVersion": 1,
            "providers": [
                {
                    "name": "arbstream",
                    "folder": "arbstream",
                    "type": "file",
                    "options": {"path": MOUNTED},
                }
            ],
        },
    }


def generated() -> dict[Path, str]:
    """Return all files as they are to be."""
    files = {f"{each.name}.json": dashboard_json(each) for each in DASHBOARDS} | provisioning()
    return {FOLDER / name: json.dumps(made, indent=2) + "\n" for name, made in files.items()}


if __name__ == "__main__":
    for path, text in generated().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
