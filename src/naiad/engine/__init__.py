# SPDX-License-Identifier: Apache-2.0
"""How a request becomes a response: checks, queues, batches, instances, splitting.

May import `backends`, `telemetry` and what lies below them. What it needs from above (which models there are) are
Protocols in `ports`. All of it runs on the event loop's thread, except `execution`, which runs on the instances'.
"""
