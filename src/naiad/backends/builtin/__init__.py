# SPDX-License-Identifier: Apache-2.0
"""Models without a model file, for tests: of Naiad and of whatever talks to it.

A `config.pbtxt` with `backend: "builtin"` and an empty version folder is a model. Its parameter `kind` says which:

- `identity` (the default): the outputs are the inputs, in order.
- `delay`: identity after `delay_us` microseconds, asleep without the GIL, as a runtime on an accelerator would be.
- `fail`: every request fails with the text of `message`.
- `fail_load`: the model does not load; the reason is the text of `message`.
- `parameters`: the request's parameters come back, as the response's parameters and as JSON in each output.
- `repeat`: decoupled, as Triton's example repeat_int32: each element of IN becomes a response, OUT, with its index
  IDX, DELAY milliseconds (one for each element) after the one before; the instance is busy for WAIT milliseconds.
  Elements of the value `fail_value` become errors, the text of `message`, between the responses.

Of the first three, shapes and datatypes are free; input N and output N must have the same datatype. The others bring
their inputs and outputs with them.
May import `base` and what lies below it.
"""

from naiad.backends.builtin.backend import BuiltinBackend

__all__ = ["BuiltinBackend"]
