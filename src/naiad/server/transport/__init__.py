# SPDX-License-Identifier: Apache-2.0
"""What HTTP and gRPC have in common, from the port to the request; neither of them is imported here.

`listener` accepts connections, inside TLS with `credentials`, and `unsent` watches what they leave unread; `bodies` is
the memory of what comes in. A `request_context` is a request under way, whose `slow_work` is done elsewhere; `access`
says who may ask for what, `forwarding` what of a request's fields the model gets, and `model_control` that models stay
as they are. May import `options`, `errors`, `requests`, `telemetry` and `protocol.http1`.
"""
