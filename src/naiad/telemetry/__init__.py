# SPDX-License-Identifier: Apache-2.0
"""What the server tells about itself: statistics and metrics. It listens and steers nothing.

May import `config` and what lies below it.
"""
