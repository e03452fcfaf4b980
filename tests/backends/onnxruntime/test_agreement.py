# SPDX-License-Identifier: Apache-2.0
"""A config against a graph: what passes, and Triton's words for what does not."""

import pytest
from google.protobuf import text_format

from naiad.backends.onnxruntime.agreement import check_agreement
from naiad.config.proto import ModelConfig
from naiad.config.signature import ArtifactSignature, ArtifactTensor
from naiad.errors import InvalidArgumentError

DYNAMIC = ArtifactSignature(
    inputs=(ArtifactTensor("images", "FP32", (-1, 3, 640, 640)), ArtifactTensor("sizes", "INT64", (-1, 2))),
    outputs=(ArtifactTensor("boxes", "FP32", (-1, -1, 4)), ArtifactTensor("scores", "FP16", (-1, -1))),
)
FIXED = ArtifactSignature(
    inputs=(ArtifactTensor("images", "FP32", (1, 3, 640, 640)),), outputs=(ArtifactTensor("count", "INT32", ()),)
)
IMAGES = 'input { name: "images" data_type: TYPE_FP32 dims: [3, 640, 640] }'
SIZES = 'input { name: "sizes" data_type: TYPE_INT64 dims: [2] }'
BOXES = 'output { name: "boxes" data_type: TYPE_FP32 dims: [-1, 4] }'
RESHAPED_IMAGES = IMAGES.replace("dims: [3, 640, 640]", "dims: [1228800] reshape { shape: [3, 640, 640] }")
RAGGED_IMAGES = IMAGES.replace("dims: [3, 640, 640]", "dims: [-1] allow_ragged_batch: true")
WHOLE_IMAGES = IMAGES.replace("[3,", "[1, 3,")
COUNT = 'output { name: "count" data_type: TYPE_INT32 dims: [1] }'
DEFAULTED = ArtifactTensor("threshold", "FP32", (1,))


def config_of(text: str) -> ModelConfig:
    return text_format.Parse(text, ModelConfig(name="m"))


@pytest.mark.parametrize(
    "text",
    [
        f"max_batch_size: 8 {IMAGES} {SIZES} {BOXES}",
        f"max_batch_size: 8 {IMAGES} {SIZES}",
        f"max_batch_size: 8 {IMAGES.replace('640, 640', '-1, -1')} {SIZES} {BOXES.replace('-1, 4', '300, 4')}",
        f"{IMAGES.replace('[3', '[4, 3')} {SIZES.replace('[2', '[-1, 2')}",
        f"max_batch_size: 8 {RESHAPED_IMAGES} {SIZES}",
        f"max_batch_size: 8 {RAGGED_IMAGES} {SIZES}",
        f'max_batch_size: 8 {IMAGES} {SIZES} input {{ name: "threshold" data_type: TYPE_FP32 dims: [] }}',
    ],
    ids=["all", "some outputs", "wildcards", "no batching", "reshape", "ragged", "an input with a default"],
)
def test_a_config_that_agrees_passes(text: str) -> None:
    check_agreement(config_of(text), DYNAMIC, "m", (ArtifactTensor("threshold", "FP32", (-1,)),))


@pytest.mark.parametrize("dims", ["[1]", "[1, 1]", "[]"])
def test_a_scalar_may_be_written_as_one_element(dims: str) -> None:
    check_agreement(config_of(f"{WHOLE_IMAGES} {COUNT.replace('[1]', dims)}"), FIXED, "m")


@pytest.mark.parametrize(
    ("signature", "text", "expected"),
    [
        (
            DYNAMIC,
            f"max_batch_size: 8 {IMAGES}",
            (
                "unable to load model 'm', configuration expects 1 inputs, model provides 2: images TYPE_FP32 "
                "[-1,3,640,640], sizes TYPE_INT64 [-1,2]; list exactly these, "
            ),
        ),
        (
            DYNAMIC,
            f"max_batch_size: 8 {IMAGES} {SIZES.replace('sizes', 'shapes')}",
            "unexpected inference input 'shapes', allowed inputs are: images, sizes, threshold; mend the name, ",
        ),
        (
            DYNAMIC,
            f"max_batch_size: 8 {IMAGES} {SIZES} {BOXES.replace('boxes', 'box')}",
            "unexpected inference output 'box', allowed outputs are: boxes, scores; mend the name, ",
        ),
        (
            DYNAMIC,
            f"max_batch_size: 8 {IMAGES} {SIZES} {BOXES.replace('FP32', 'FP16')}",
            (
                "unable to load model 'm', configuration expects datatype TYPE_FP16 for output 'boxes', model provides "
                "TYPE_FP32; write data_type: TYPE_FP32, "
            ),
        ),
        (
            DYNAMIC,
            f"max_batch_size: 8 {IMAGES.replace('data_type: TYPE_FP32', '')} {SIZES}",
            (
                "unable to load model 'm', configuration expects datatype TYPE_INVALID for input 'images', model "
                "provides TYPE_FP32; "
            ),
        ),
        (
            DYNAMIC,
            f"max_batch_size: 8 {IMAGES.replace('640, 640', '320, 320')} {SIZES}",
            (
                "model 'm', tensor 'images': the model expects 4 dimensions (shape [-1,3,640,640]) but the model "
                "configuration specifies 4 dimensions (an initial batch dimension because max_batch_size > 0 followed "
                "by the explicit tensor shape, making complete shape [-1,3,320,320]); write dims: [3,640,640], "
            ),
        ),
        (
            DYNAMIC,
            f"{IMAGES} {SIZES}",
            (
                "model 'm', tensor 'images': the model expects 4 dimensions (shape [-1,3,640,640]) but the model "
                "configuration specifies 3 dimensions (shape [3,640,640]); write dims: [-1,3,640,640], "
            ),
        ),
        (
            FIXED,
            f"max_batch_size: 1 {IMAGES} {COUNT}",
            (
                "model 'm', tensor 'images': for the model to support batching the shape should have at least 1 "
                "dimension and the first dimension must be -1; but shape expected by the model is [1,3,640,640]; write "
                "max_batch_size: 0, "
            ),
        ),
        (
            FIXED,
            f"{WHOLE_IMAGES} {COUNT.replace('[1]', '[2]')}",
            (
                "model 'm', tensor 'count': the model expects 0 dimensions (shape []) but the model configuration "
                "specifies 1 dimensions (shape [2]); write dims: [1] reshape { shape: [] }, "
            ),
        ),
    ],
)
def test_a_config_that_contradicts_the_graph_is_refused(signature: ArtifactSignature, text: str, expected: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        check_agreement(config_of(text), signature, "m", (DEFAULTED,))
    assert str(caught.value).startswith(expected)


def test_inputs_that_the_scheduler_fills_count() -> None:
    text = f'max_batch_size: 8 {IMAGES} sequence_batching {{ control_input {{ name: "sizes" }} }}'
    check_agreement(config_of(text), DYNAMIC, "m")
