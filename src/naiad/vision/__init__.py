# SPDX-License-Identifier: Apache-2.0
"""What Naiad knows of YOLO models; the server works without it. Knows neither torch nor Ultralytics."""
