# SPDX-License-Identifier: Apache-2.0
"""What answers the routes, by topic; each handler is given an exchange and asks the engine's data plane."""
