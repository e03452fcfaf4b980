# SPDX-License-Identifier: Apache-2.0
"""API keys on the gRPC port. May import `protocol` and `transport.access`."""

from collections.abc import Callable

from naiad.protocol.grpc.call import CallHead, GrpcError, GrpcStatus
from naiad.server.transport.access import ApiKeys

OPEN_PATHS = frozenset(
    (
        "/grpc.health.v1.Health/Check",
        "/inference.GRPCInferenceService/ServerLive",
        "/inference.GRPCInferenceService/ServerReady",
    )
)
"""What is answered without a key: the probes of Kubernetes and of load balancers, which have none to send."""


def key_check(keys: ApiKeys) -> Callable[[CallHead], None]:
    """Return a function that raises `GrpcError` UNAUTHENTICATED for the head of a call without a good key."""

    def check(head: CallHead) -> None:
        if head.path in OPEN_PATHS:
            return
        given = [value for name, value in head.metadata if name == "authorization"]
        objection = keys.objection(b", ".join(given) if given else None)
        if objection is not None:
            raise GrpcError(GrpcStatus.UNAUTHENTICATED, objection)

    return check
