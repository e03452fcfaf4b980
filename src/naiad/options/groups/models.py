# SPDX-License-Identifier: Apache-2.0
"""Where models come from, and how they are loaded. May import `errors` and what lies beside this folder."""

from dataclasses import dataclass
from functools import partial

from naiad.errors import UnsupportedError
from naiad.options.flags import MAX_INT, Flag, option
from naiad.options.values import BackendOption

_flag = partial(Flag, "Models")


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The rows under the heading Models."""

    model_repository: tuple[str, ...] = option(
        (),
        _flag(
            "Folder that holds the models; repeat it for several.",
            aliases=("model-store",),
            repeatable=True,
            required=True,
            path="folder",
        ),
    )
    exit_on_error: bool = option(True, _flag("Exit when a model fails to load at start."))
    strict_readiness: bool = option(True, _flag("Be ready only once every model is."))
    disable_auto_complete_config: bool = option(
        False, _flag("Do not complete config.pbtxt from the model file.", switch=True)
    )
    strict_model_config: bool = option(False, _flag("Deprecated by Triton: true means --disable-auto-complete-config."))
    model_control_mode: str = option(
        "none",
        _flag(
            "When models are loaded: none loads all of them at start.",
            choices=("none",),
            later_choices={"poll": "watching the repository", "explicit": "loading and unloading at run time"},
        ),
    )
    model_load_thread_count: int = option(
        4, _flag("How many models may load at the same time.", minimum=1, maximum=MAX_INT)
    )
    backend_config: tuple[BackendOption, ...] = option(
        (), _flag("Setting for a backend: NAME,KEY=VALUE, or KEY=VALUE for all of them.", repeatable=True)
    )

    @property
    def auto_complete(self) -> bool:
        """Whether configs are completed from the model files."""
        return not (self.disable_auto_complete_config or self.strict_model_config)

    def backend_options(self, backend: str) -> dict[str, str]:
        """Return the settings given for `backend`; its own win over those for every backend, later over earlier."""
        shared = {one.key: one.value for one in self.backend_config if not one.backend}
        return shared | {one.key: one.value for one in self.backend_config if one.backend == backend}

    def check_models(self) -> None:
        """Check what the rows of the table cannot tell.

        Raises:
            UnsupportedError: a repository is an object store.
        """
        for location in self.model_repository:
            if "://" in location:
                raise UnsupportedError(
                    f"--model-repository={location}: object stores are not available in this version of Naiad, "
                    "expected a local folder; copy the models to one"
                )
