# SPDX-License-Identifier: Apache-2.0
"""From a request that fits its model to its responses: who waits, who goes together, on which thread.

`scheduler` brings the requests of a `queue` to the `instances`, in batches that `batching` decides and `execution`
computes; `quickness` tells which models are better computed on the loop. `responding` is the same for models that
answer request by request, whose responses come through a `channel`. May import its neighbours in `engine` but for
`model` and `dataplane`.
"""
