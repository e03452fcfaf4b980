# SPDX-License-Identifier: Apache-2.0
"""gRPC and Triton's service on it: bytes of HTTP/2 streams ⇄ calls, messages and the values that they mean.

`call` reads what the head of a call says and writes how it ends, `messages` joins messages out of its body,
`compression` is theirs. The messages of inference are read by `request` and written by `response`, both by hand where
tensors are (`wire`); `documents` are those of everything else, by protobuf. May import `http2`, `protocol`'s own
modules, `config` and what lies below it.
"""
