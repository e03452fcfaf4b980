# SPDX-License-Identifier: Apache-2.0
"""The backend `builtin`: which of the models without a file a config means.

May import its neighbours, `backends.base` and what lies below it.
"""

from collections.abc import Sequence

from naiad.backends.base import BackendModel, BackendSettings, ModelFiles
from naiad.backends.builtin.identity import IdentityModel
from naiad.backends.builtin.parameters import ParametersModel
from naiad.backends.builtin.repeat import RepeatModel
from naiad.config.proto import ModelConfig
from naiad.errors import InternalError, InvalidArgumentError

_KINDS = ("identity", "delay", "fail", "fail_load", "parameters", "repeat")
_DEFAULT_MESSAGE = "the model failed, as its config says it should"


class BuiltinBackend:
    """The backend `builtin`."""

    def usable_gpus(self) -> Sequence[int]:
        """Return none: these models compute on the CPU."""
        return ()

    def open(self, files: ModelFiles, config: ModelConfig, settings: BackendSettings) -> BackendModel:
        """Read what the model is to do from the parameters of `config`; nothing is read from disk.

        Raises:
            InvalidArgumentError: a parameter is wrong.
            InternalError: the model is of kind `fail_load`.
        """
        values = {key: parameter.string_value for key, parameter in config.parameters.items()}
        message = values.get("message", _DEFAULT_MESSAGE)
        match kind := values.get("kind", "identity"):
            case "identity":
                return IdentityModel()
            case "delay":
                return IdentityModel(delay_us=_microseconds(values.get("delay_us", "0"), config.name))
            case "fail":
                return IdentityModel(failure=message)
            case "fail_load":
                raise InternalError(message)
            case "parameters":
                return ParametersModel()
            case "repeat":
                return RepeatModel(_number(values.get("fail_value"), config.name), message)
        raise InvalidArgumentError(
            f"parameter 'kind' of model '{config.name}' with backend 'builtin' is '{kind}', "
            f"expected one of: {', '.join(_KINDS)}"
        )


def _number(text: str | None, model: str) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        raise InvalidArgumentError(
            f"parameter 'fail_value' of model '{model}' is '{text}', expected a whole number, such as '13'"
        ) from None


def _microseconds(text: str, model: str) -> int:
    if not text.isdecimal():
        raise InvalidArgumentError(
            f"parameter 'delay_us' of model '{model}' is '{text}', expected microseconds, such as '5000'"
        )
    return int(text)
