# SPDX-License-Identifier: Apache-2.0
import numpy as np

from naiad.engine.scheduling.channel import Reply
from naiad.requests import NO_PARAMETERS, OutputTensor


def test_a_reply_is_as_large_as_its_arrays_and_strings() -> None:
    outputs = (
        OutputTensor("N", "INT32", (3,), np.zeros(3, np.int32)),
        OutputTensor("S", "BYTES", (1, 2), np.array([[b"abc", b"d" * 1000]], object)),
    )
    assert Reply(outputs, None, NO_PARAMETERS, False, 0, 0).size_bytes == 12 + 1003
    assert Reply(None, None, NO_PARAMETERS, True, 0, 0).size_bytes == 0
