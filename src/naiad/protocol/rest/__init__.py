# SPDX-License-Identifier: Apache-2.0
"""KServe v2's REST protocol with Triton's extensions: bodies of HTTP requests and responses ⇄ values.

Inference: `request` reads a body, its tensors with `inputs`, and `response` writes one; `generate` does both for the
generate extension. `documents` is what is told of the server and its models, `shared_memory` how regions are
registered. Below them lie `json_text`, `json_pieces` for large texts, and `tensor_json`. May import `protocol`'s own
modules, `config` and what lies below it.
"""
