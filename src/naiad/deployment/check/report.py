# SPDX-License-Identifier: Apache-2.0
"""The result of a check as values, and as the JSON document whose shape is a promise. May import `protocol`."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from naiad.config.proto import ModelConfig
from naiad.deployment.check.findings import Finding, Severity
from naiad.protocol.rest.documents import model_config

FORMAT = 1
"""Version of the JSON document; it grows when a member changes its meaning or goes, not when one is added."""


@dataclass(frozen=True, slots=True)
class ServedVersion:
    """A version that will be served, with what clients will be told.

    `config` is the completed one; each of its instances computes with `threads_per_instance`. `task` and `classes`
    come from the metadata for Ultralytics' client, and are empty where there is none; `labels` are the sizes of the
    outputs' label files.
    """

    number: int
    config: ModelConfig
    threads_per_instance: int
    task: str = ""
    classes: tuple[str, ...] = ()
    labels: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class CheckedModel:
    """A model directory: the versions that lie in it, those that will be served, and what was found."""

    name: str
    directory: Path
    versions: tuple[int, ...] = ()
    served: tuple[ServedVersion, ...] = ()
    findings: tuple[Finding, ...] = ()

    def count(self, severity: Severity) -> int:
        """Return how many findings are of a severity."""
        return sum(finding.severity is severity for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Report:
    """All models of the repositories, by name; `findings` are those about no model."""

    repositories: tuple[Path, ...]
    models: tuple[CheckedModel, ...]
    findings: tuple[Finding, ...] = ()

    def count(self, severity: Severity) -> int:
        """Return how many findings are of a severity."""
        return sum(finding.severity is severity for finding in self._all_findings())

    def to_document(self) -> dict[str, Any]:
        """Return the report for JSON; docs/check.md describes its members."""
        return {
            "format": FORMAT,
            "repositories": [str(path) for path in self.repositories],
            "summary": {
                "models": len(self.models),
                **{f"{severity.value}s": self.count(severity) for severity in Severity},
            },
            "models": [_model(model) for model in self.models],
            "findings": [_finding(finding) for finding in self.findings],
        }

    def _all_findings(self) -> Iterator[Finding]:
        yield from self.findings
        for model in self.models:
            yield from model.findings


def _model(model: CheckedModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "directory": str(model.directory),
        "versions": list(model.versions),
        "served": [
            {
                "version": version.number,
                "task": version.task,
                "classes": list(version.classes),
                "labels": dict(version.labels),
                "config": model_config(version.config),
            }
            for version in model.served
        ],
        "findings": [_finding(finding) for finding in model.findings],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    problem = finding.problem
    return {
        "rule": finding.rule,
        "severity": finding.severity.value,
        "file": problem.file,
        "line": problem.line or None,
        "field": problem.field,
        "message": problem.message,
        "expected": problem.expected,
        "got": problem.got,
        "fix": problem.fix,
        "corrected": finding.corrected,
    }
