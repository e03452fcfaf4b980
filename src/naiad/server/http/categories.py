# SPDX-License-Identifier: Apache-2.0
"""To which of Triton's categories of restricted APIs a route belongs. Imports nothing of the other rooms."""

import re

_CATEGORIES = (
    (r"/v2/health/.*", "health"),
    (r".*/ready", "health"),
    (r"/v2|/v2/models/\{model\}(\[/versions/\{version\}\])?", "metadata"),
    (r".*/(infer|generate|generate_stream)", "inference"),
    (r".*/config", "model-config"),
    (r".*/stats", "statistics"),
    (r"/v2(/models/\{model\})?/trace/setting", "trace"),
    (r"/v2/logging", "logging"),
    (r"/v2/repository.*", "model-repository"),
    (r"/v2/(system|cuda)sharedmemory.*", "shared-memory"),
)


def category_of(path: str) -> str:
    """Return the category of a route by its path, as the table of routes spells it.

    Raises:
        LookupError: none is known; a route that no restriction covers must not come about by oversight.
    """
    for pattern, category in _CATEGORIES:
        if re.fullmatch(pattern, path):
            return category
    raise LookupError(f"the route {path} has no category, expected one in {__name__}; give it one")
