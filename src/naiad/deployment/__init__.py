# SPDX-License-Identifier: Apache-2.0
"""From weights to a model in a repository: export, describe, write.

May import `vision`, `repository`, `backends`, `config` and what lies below them. Ultralytics, and with it PyTorch, is
imported only where a checkpoint must be exported.
"""

from naiad.deployment.deploying import Deployment, deploy
from naiad.deployment.export import ExportOptions

__all__ = ["Deployment", "ExportOptions", "deploy"]
