# SPDX-License-Identifier: Apache-2.0
"""Which of a model's versions its version policy serves. Pure. May import `config` and `errors`."""

from collections.abc import Iterable

from naiad.config.proto import ModelConfig

_DEFAULT_LATEST = 1


def choose_versions(config: ModelConfig, available: Iterable[int]) -> tuple[int, ...]:
    """Return the versions of `available` that the config's `version_policy` serves, ascending.

    Without a policy that is the largest. Specific versions that are not there are left out; see `missing_versions`.
    """
    versions = sorted(available)
    policy = config.version_policy
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return tuple(versions)
    if choice == "specific":
        return tuple(version for version in versions if version in policy.specific.versions)
    return tuple(versions[-(policy.latest.num_versions or _DEFAULT_LATEST) :])


def missing_versions(config: ModelConfig, available: Iterable[int]) -> tuple[int, ...]:
    """Return the versions that a `specific` policy names and that are not `available`, ascending."""
    return tuple(sorted(set(config.version_policy.specific.versions).difference(available)))
