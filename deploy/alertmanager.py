"""Alertmanager's configuration, from the table of alerts: routes, groups, what a cause keeps quiet.

``python -m deploy.alertmanager`` rewrites ``deploy/prometheus/alertmanager.yml``; a test says when
it is not current, and Debian's ``amtool`` whether it is right. Secrets are in files beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from shared.alerting.routing import GROUP_BY, INHIBITIONS, ROUTES, Inhibition

FILE: Final = Path(__file__).resolve().parent / "prometheus" / "alertmanager.yml"
COMMAND: Final = "python -m deploy.alertmanager"
SECRETS: Final = "/etc/alertmanager/secrets"
WATCHER: Final = "http://watcher:9466/alertmanager"
"""Where `arb watch` listens, on another machine."""
TEXT: Final = (
    "{{ range .Alerts }}{{ .Annotations.summary }} {{ .Labels.SortedPairs }} "
    "({{ .Annotations.runbook_url }})\n{{ end }}"
)


def matchers(**labels: Iterable[str]) -> list[str]:
    """Return matchers of labels that have one of some values."""
    found = []
    for name, values in labels.items():
        allowed = tuple(values)
        if len(allowed) == 1:
            found.append(f"{name}={json.dumps(allowed[0])}")
        elif allowed:
            found.append(f"{name}=~{json.dumps('|'.join(allowed))}")
    return found


def route() -> dict[str, Any]:
    """Return the tree of routes; what has an unknown severity goes to the chat."""
    return {
        "receiver": "chat",
        "group_by": list(GROUP_BY),
        "group_wait": "10s",
        "repeat_interval": "4h",
        "routes": [
            {
                "matchers": matchers(severity=(each.severity.value,)),
                "receiver": each.receiver,
                "group_wait": each.wait,
                "group_interval": each.interval,
                "repeat_interval": each.repeat,
            }
            for each in ROUTES
        ],
    }


def inhibition(each: Inhibition) -> dict[str, Any]:
    """Return one rule by which a cause keeps its consequences quiet."""
    return {
        "source_matchers": matchers(alertname=(each.cause,), service=each.services),
        "target_matchers": matchers(alertname=each.consequences, consumer=each.consumers),
        **({"equal": list(each.equal)} if each.equal else {}),
    }


def receivers() -> list[dict[str, Any]]:
    """Return who is told; whoever uses other providers replaces what is below the names."""

    def slack(name: str) -> dict[str, Any]:
        told = {"api_url_file": f"{SECRETS}/{name}", "text": TEXT, "send_resolved": True}
        return {"name": name, "slack_configs": [told]}

    page = {"routing_key_file": f"{SECRETS}/page", "send_resolved": True}
    watchdog = {
        "url": WATCHER,
        "send_resolved": False,
        "http_config": {"authorization": {"credentials_file": f"{SECRETS}/watchdog"}},
    }
    return [
        {"name": "page", "pagerduty_configs": [page]},
        slack("chat"),
        slack("digest"),
        {"name": "watchdog", "webhook_configs": [watchdog]},
    ]


def render() -> str:
    """Return the file."""
    parts = {
        "route": route(),
        "inhibit_rules": [inhibition(each) for each in INHIBITIONS],
        "receivers": receivers(),
    }
    head = (
        f"# From shared/alerting/routing.py by {COMMAND}; docs/notifier.md says what to put where."
    )
    return "\n".join([head, *_yaml(parts, "")]) + "\n"


def _yaml(value: Any, indent: str) -> Iterator[str]:
    """Yield a value as YAML; JSON's strings are YAML's."""
    if isinstance(value, dict):
        for name, part in value.items():
            if _is_plain(part):
                yield f"{indent}{name}: {json.dumps(part)}"
            else:
                yield f"{indent}{name}:"
                yield from _yaml(part, indent + "  ")
        return
    for part in value:
        lines = list(_yaml(part, indent + "  "))
        yield f"{indent}- {lines[0].lstrip()}"
        yield from lines[1:]


def _is_plain(value: Any) -> bool:
    """Tell whether a value stands on one line."""
    if isinstance(value, list):
        return all(isinstance(part, str) for part in value)
    return not isinstance(value, dict)


if __name__ == "__main__":
    FILE.write_text(render(), encoding="utf-8")
