# SPDX-License-Identifier: Apache-2.0
"""What answers the calls, by topic; each handler is given a call and its message, and asks the engine's data plane."""
