# SPDX-License-Identifier: Apache-2.0
"""Where models come from: what lies in the repositories, which versions are served, and their life cycle."""
