# SPDX-License-Identifier: Apache-2.0
"""The tree of errors. Each class knows its Triton code, its HTTP status and its gRPC status.

A message names the thing, what was expected, what came, and one way to mend it. Texts that Triton's own
clients and tests match on are Triton's, to the letter. This module imports nothing.
"""

from typing import ClassVar


class NaiadError(Exception):
    """Any failure that may be told to a client; `str(error)` is the text it is told.

    The class attributes mirror Triton's `TRITONSERVER_Error_Code`: `label` is the code's printed name
    (as in the repository index: `Internal: ...`), `http_status` and `grpc_status` are what it becomes on the wire.
    """

    label: ClassVar[str] = "Internal"
    http_status: ClassVar[int] = 500
    grpc_status: ClassVar[int] = 13


class InternalError(NaiadError):
    """The server, a backend or a model failed; in Triton also any unreadable JSON."""


class UnknownError(NaiadError):
    """A failure without a better class."""

    label = "Unknown"
    http_status = 400
    grpc_status = 2


class NotFoundError(NaiadError):
    """The named model, version or region does not exist."""

    label = "Not found"
    http_status = 404
    grpc_status = 5


class InvalidArgumentError(NaiadError):
    """The request or a configuration is wrong; the sender can mend it."""

    label = "Invalid argument"
    http_status = 400
    grpc_status = 3


class UnavailableError(NaiadError):
    """The thing exists but cannot serve now: not ready, queue full, timed out, shutting down."""

    label = "Unavailable"
    http_status = 503
    grpc_status = 14


class UnsupportedError(NaiadError):
    """A feature that this server, build or model does not have."""

    label = "Unsupported"
    http_status = 501
    grpc_status = 12


class AlreadyExistsError(NaiadError):
    """The name is taken."""

    label = "Already exists"
    http_status = 400
    grpc_status = 6


class CancelledError(NaiadError):
    """The client went away or withdrew the request."""

    label = "Cancelled"
    http_status = 400
    grpc_status = 1
