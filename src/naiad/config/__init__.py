# SPDX-License-Identifier: Apache-2.0
"""What a model says of itself: `config.pbtxt` ⇄ `ModelConfig`, its completion and its validation.

Text in, text out: nothing here opens a file. Configs are protobuf and mutable, so every function returns a copy and
leaves its arguments alone. May import `errors`, `tensors` and protobuf.
"""
