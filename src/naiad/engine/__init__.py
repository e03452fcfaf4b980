# SPDX-License-Identifier: Apache-2.0
"""How a request becomes a response: checks, queues, batches, instances, splitting.

`dataplane` finds the `model` and gives it the request; `signature` holds that against what the model expects, and makes
it `pending`; `scheduling` has it computed. What the engine needs from above (which models there are) are Protocols in
`ports`. All of it runs on the event loop's thread, except `execution`, which runs on the instances'.
May import `backends`, `telemetry` and what lies below them.
"""
