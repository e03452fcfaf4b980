# SPDX-License-Identifier: Apache-2.0
"""Naiad: an inference server that speaks the protocol of Triton."""
