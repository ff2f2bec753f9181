"""Renders, lints and validates the Helm chart in a process of its own.

Helm is a library of 85 MB with a runtime of its own, which tests beside it must not share. The
process takes jobs as JSON, one a line, and answers each: ``python -m tests.helm``.
"""

from __future__ import annotations

import atexit
import functools
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deploy.chart import CHART
from tests.support import ROOT

RELEASE, NAMESPACE = "arb", "trading"

Object = dict[str, Any]


class Refused(Exception):
    """Helm does not render the chart with these values; the text says why."""


def render(
    values: Mapping[str, Any] | None = None, *, release: str = RELEASE, chart: Path = CHART
) -> list[Object]:
    """Return the objects that the chart makes of values.

    Raises:
        Refused: The values are refused.
    """
    answer = _ask(_job(values, release, chart))
    if "refused" in answer:
        raise Refused(answer["refused"])
    return answer["objects"]


def notes(values: Mapping[str, Any] | None = None) -> str:
    """Return what Helm says after it has installed the chart."""
    return _ask(_job(values, RELEASE, CHART))["notes"]


def _job(values: Mapping[str, Any] | None, release: str, chart: Path) -> dict[str, Any]:
    return {"do": "render", "values": values or {}, "release": release, "chart": str(chart)}


def lint(values: Mapping[str, Any] | None = None) -> list[str]:
    """Return what ``helm lint --strict`` finds."""
    return _ask({"do": "lint", "values": values or {}})["found"]


def invalid(objects: Sequence[Object], version: str) -> list[str]:
    """Return what Kubernetes of a version would not take, or does not know."""
    return _ask({"do": "validate", "objects": objects, "version": version})["found"]


@functools.cache
def _helm() -> subprocess.Popen[str]:
    """Return the process, started for the first job; it ends with this one."""
    command = [sys.executable, "-m", "tests.helm"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )

    def end() -> None:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        process.wait()
        process.stdout.close()

    atexit.register(end)
    return process


def _ask(job: Mapping[str, Any]) -> Any:
    process = _helm()
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps(job) + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    assert line, "Helm's process ended; its error is on stderr"
    return json.loads(line)


def _rendered(job: Mapping[str, Any]) -> Any:
    import helm_python
    import yaml

    with helm_python.Chart.load(job["chart"]) as chart:
        try:
            files = chart.render(job["values"], name=job["release"], namespace=NAMESPACE)
        except helm_python.HelmError as error:
            return {"refused": str(error)}
    objects = [
        each
        for path, text in sorted(files.items())
        if path.endswith(".yaml")
        for each in yaml.safe_load_all(text)
        if each is not None
    ]
    return {"objects": objects, "notes": files["arbstream/templates/NOTES.txt"]}


def _linted(job: Mapping[str, Any]) -> Any:
    import helm_python

    report = helm_python.lint(CHART, job["values"], strict=True, namespace=NAMESPACE)
    return {"found": [each["error"] for each in report["messages"]] + report["errors"]}


def _validated(job: Mapping[str, Any]) -> Any:
    import kubernetes_validate

    found = []
    for each in job["objects"]:
        named = f"{each['kind']} {each['metadata']['name']}"
        try:
            kubernetes_validate.validate(each, job["version"], strict=True)
        except kubernetes_validate.ValidationError as error:
            found.append(f"{named}: {'.'.join(map(str, error.path))}: {error.message}")
        except kubernetes_validate.SchemaNotFoundError as error:
            found.append(f"{named}: {error.message}")
    return {"found": found}


if __name__ == "__main__":
    jobs = {"render": _rendered, "lint": _linted, "validate": _validated}
    for text in sys.stdin:
        work = json.loads(text)
        sys.stdout.write(json.dumps(jobs[work["do"]](work)) + "\n")
        sys.stdout.flush()
