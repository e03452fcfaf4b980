# SPDX-License-Identifier: Apache-2.0
"""API keys on the HTTP port. May import `protocol` and `transport.access`."""

from collections.abc import Callable

from naiad.protocol.http1.head import HttpError, RequestHead
from naiad.server.transport.access import ApiKeys

OPEN_PATHS = frozenset(("/v2/health/live", "/v2/health/ready"))
"""What is answered without a key: the probes of Kubernetes and of load balancers, which have none to send."""


def key_check(keys: ApiKeys) -> Callable[[RequestHead], None]:
    """Return a function that raises `HttpError` 401 for the head of a request without a good key."""

    def check(head: RequestHead) -> None:
        if head.path in OPEN_PATHS:
            return
        authorization = head.headers.get(b"authorization")
        objection = keys.objection(authorization)
        if objection is not None:
            # RFC 6750 §3: a request without a token is not told of an error.
            challenge = b"Bearer" if authorization is None else b'Bearer error="invalid_token"'
            raise HttpError(401, objection, ((b"WWW-Authenticate", challenge),))

    return check
