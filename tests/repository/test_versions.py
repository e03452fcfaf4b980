# SPDX-License-Identifier: Apache-2.0
"""The version policy: latest, all, specific."""

import pytest
from google.protobuf import text_format

from naiad.config.proto import ModelConfig
from naiad.repository.versions import choose_versions, missing_versions


def config(text: str) -> ModelConfig:
    return text_format.Parse(text, ModelConfig())


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [
        ("", (10,)),
        ("version_policy { }", (10,)),
        ("version_policy { latest { } }", (10,)),
        ("version_policy { latest { num_versions: 2 } }", (3, 10)),
        ("version_policy { latest { num_versions: 9 } }", (1, 3, 10)),
        ("version_policy { all { } }", (1, 3, 10)),
        ("version_policy { specific { versions: [10, 1] } }", (1, 10)),
        ("version_policy { specific { versions: [3, 5] } }", (3,)),
        ("version_policy { specific { versions: [5] } }", ()),
    ],
)
def test_the_policy_chooses_ascending(policy: str, chosen: tuple[int, ...]) -> None:
    assert choose_versions(config(policy), [3, 10, 1]) == chosen


@pytest.mark.parametrize("policy", ["", "version_policy { all { } }", "version_policy { specific { versions: 1 } }"])
def test_without_directories_there_is_nothing_to_choose(policy: str) -> None:
    assert choose_versions(config(policy), []) == ()


def test_specific_versions_without_a_directory_are_missing() -> None:
    assert missing_versions(config("version_policy { specific { versions: [7, 3, 5] } }"), [3]) == (5, 7)
    assert missing_versions(config("version_policy { all { } }"), [3]) == ()
