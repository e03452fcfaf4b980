# SPDX-License-Identifier: Apache-2.0
"""The JSON document, whose shape is a promise, and the page that makes it."""

import json
import re
from pathlib import Path

from tests.deployment.check.repositories import Repository

import naiad.deployment.check as checks
from naiad.deployment.check import RULES, check

PAGE = Path(__file__).parents[3] / "docs" / "check.md"


def test_the_document_of_a_served_and_a_broken_model(repository: Repository) -> None:
    repository.onnx("good/1/model.onnx")
    config = repository.config("bad", 'name: "evil"')
    repository.onnx("bad/1/model.onnx")
    document = json.loads(json.dumps(check([repository.path]).to_document()))
    assert document["format"] == 1
    assert document["repositories"] == [str(repository.path)]
    assert document["summary"] == {"models": 2, "errors": 1, "warnings": 0, "notes": 0}
    assert document["findings"] == []
    bad, good = document["models"]
    assert (bad["name"], bad["directory"], bad["versions"], bad["served"]) == (
        "bad",
        str(repository.path / "bad"),
        [1],
        [],
    )
    assert bad["findings"] == [
        {
            "rule": "config-field",
            "severity": "error",
            "file": str(config),
            "line": 1,
            "field": "name",
            "message": "unexpected directory name 'bad' for model 'evil', directory name must equal model name",
            "expected": "'bad'",
            "got": "'evil'",
            "fix": "take 'name' away, or rename the directory to 'evil'",
            "corrected": 'name: "bad"',
        }
    ]
    (served,) = good["served"]
    assert {key: served[key] for key in ("version", "task", "classes", "labels")} == {
        "version": 1,
        "task": "detect",
        "classes": ["person", "bicycle"],
        "labels": {},
    }
    assert served["config"]["input"][0]["dims"] == [3, -1, -1]


def test_a_finding_without_a_line_has_null(repository: Repository) -> None:
    repository.write("loose.onnx")
    (finding,) = check([repository.path]).to_document()["findings"]
    assert (finding["rule"], finding["line"]) == ("loose-weights", None)


def test_the_page_lists_every_rule() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert dict(re.findall(r"^\| `([\w-]+)` \| [^|]+ \| (.+) \|$", page, re.MULTILINE)) == RULES


def test_the_page_lists_every_member(repository: Repository) -> None:
    repository.onnx("m/1/model.onnx", metadata={})
    document = check([repository.path]).to_document()
    (model,) = document["models"]
    members = {*document, *document["summary"], *model, *model["served"][0], *model["findings"][0]}
    table = PAGE.read_text(encoding="utf-8").partition("## JSON")[2]
    described = set(re.findall(r"[a-z]+", " ".join(re.findall(r"`([^`]+)`", table))))
    assert members <= described


def test_every_rule_is_used() -> None:
    folder = Path(checks.__file__).parent
    sources = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py") if path.name != "findings.py")
    assert [rule for rule in RULES if f'"{rule}"' not in sources] == []
