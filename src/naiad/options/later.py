# SPDX-License-Identifier: Apache-2.0
"""Triton's flags for things that this version cannot do: known, so that they are refused by name.

A flag that gets its feature leaves this list and becomes a field of the table. Values that come later, of flags that
are served, are in the table too (`Flag.later_choices`). May import `errors`, nothing else.
"""

from collections.abc import Mapping
from typing import NamedTuple

from naiad.errors import UnsupportedError

_OFF = ("false", "0")
_NO_SHARED_LIBRARIES = "install backends as Python packages, and leave the flag out"


class LaterFlag(NamedTuple):
    """A flag of Triton's that this version does not serve.

    `feature` completes "… is not available in this version"; `accepted` are values (lower case) that ask for nothing
    and are therefore let through; `advice` is what to do about it.
    """

    name: str
    feature: str
    accepted: tuple[str, ...] = ()
    advice: str = "leave the flag out"


def refuse_later_flag(flag: LaterFlag, value: str) -> None:
    """Refuse a flag that belongs to later work, unless its value asks for what the server does anyway.

    Raises:
        UnsupportedError: it asks for more.
    """
    if value.lower() not in flag.accepted:
        raise UnsupportedError(
            f"--{flag.name}={value}: {flag.feature} is not available in this version of Naiad; {flag.advice}"
        )


def _later(feature: str, *names: str, accepted: tuple[str, ...] = (), advice: str = "") -> tuple[LaterFlag, ...]:
    return tuple(LaterFlag(name, feature, accepted, advice or LaterFlag._field_defaults["advice"]) for name in names)


LATER_FLAGS: Mapping[str, LaterFlag] = {
    flag.name: flag
    for flag in (
        *_later(
            "watching the repository",
            "repository-poll-secs",
            advice="restart the server after a change, and leave the flag out",
        ),
        *_later("choosing which models to load", "load-model", advice="give a repository that holds only those models"),
        *_later("naming other config files", "model-config-name", accepted=("",), advice="edit config.pbtxt"),
        *_later("trying to load again", "model-load-retry-count", accepted=("0",)),
        *_later("model namespacing", "model-namespacing", accepted=_OFF, advice="give every model its own name"),
        *_later("peer access between GPUs", "enable-peer-access", accepted=_OFF),
        *_later("loading Triton's shared libraries", "backend-directory", advice=_NO_SHARED_LIBRARIES),
        *_later("a repository agent", "repoagent-directory"),
        *_later("the response cache", "cache-config", "cache-directory"),
        *_later("the response cache", "response-cache-byte-size", accepted=("0",)),
        *_later("the rate limiter", "rate-limit", accepted=("off",)),
        *_later("the rate limiter", "rate-limit-resource"),
        *_later(
            "a memory pool of its own", "pinned-memory-pool-byte-size", "buffer-manager-thread-count", accepted=("0",)
        ),
        *_later(
            "managing GPU memory",
            "cuda-memory-pool-byte-size",
            "cuda-virtual-address-size",
            "min-supported-compute-capability",
            "model-load-gpu-limit",
        ),
        *_later("placing models on NUMA nodes", "host-policy"),
        *_later("the SageMaker endpoint", "allow-sagemaker", accepted=_OFF),
        *_later("the SageMaker endpoint", "sagemaker-port", "sagemaker-safe-port-range", "sagemaker-thread-count"),
        *_later("the Vertex AI endpoint", "allow-vertex-ai", accepted=_OFF),
        *_later("the Vertex AI endpoint", "vertex-ai-port", "vertex-ai-thread-count", "vertex-ai-default-model"),
    )
}
"""Triton's flags that belong to later work: flag → its row."""
