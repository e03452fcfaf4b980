# SPDX-License-Identifier: Apache-2.0
"""`config.pbtxt`: protobuf's text format ⇄ `ModelConfig`.

protobuf reads and writes it; what is ours is that a mistake is told with file, line, field and a fix.
May import `errors`, protobuf and what lies beside it.
"""

from google.protobuf import text_format

from naiad.config.mistakes import explain
from naiad.config.problems import ConfigError, Problem
from naiad.config.proto import ModelConfig


def parse(text: str, source: str) -> ModelConfig:
    """Read a config. Comments (`#`), `[...]` lists and repeated blocks are all as protobuf's text format has them.

    Args:
        text: the file's content.
        source: the file's name, for errors.

    Raises:
        ConfigError: it isn't a `ModelConfig`; with the one problem protobuf stopped at.
    """
    try:
        return text_format.Parse(text, ModelConfig())
    except text_format.ParseError as error:
        raise ConfigError((explain(error, text, source),)) from error
    except ValueError as error:  # an enum's number beyond 32 bits; protobuf doesn't say where it is
        number = str(error).rpartition(" ")[2]
        line = text[: text.find(number)].count("\n") + 1 if number in text else 0
        problem = Problem(
            source, line, "", "no such enum value", got=number, fix="write its name instead, such as TYPE_FP32"
        )
        raise ConfigError((problem,)) from error


def dump(config: ModelConfig) -> str:
    """Write a config that `parse` reads back equal: fields in the order of Triton's documentation, UTF-8 unescaped."""
    return text_format.MessageToString(config, as_utf8=True, use_index_order=True, use_short_repeated_primitives=True)
