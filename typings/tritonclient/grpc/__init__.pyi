# SPDX-License-Identifier: Apache-2.0
# Only model_config_pb2 and service_pb2 have stubs here; whatever else tritonclient holds stays `Any`.
from typing import Any

def __getattr__(name: str) -> Any: ...  # noqa: ANN401
