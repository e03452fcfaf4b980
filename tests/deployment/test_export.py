# SPDX-License-Identifier: Apache-2.0
import logging
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace

import pytest

from naiad.deployment import export
from naiad.deployment.export import ExportOptions, export_onnx, fetch_weights, import_ultralytics, quiet
from naiad.errors import InvalidArgumentError, NotFoundError, UnsupportedError


class FakeModel:
    """Stands for `ultralytics.YOLO`: writes its arguments beside the checkpoint, as the exporter does its file."""

    failure: Exception | None = None

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint

    def export(self, **arguments: object) -> str:
        if self.failure is not None:
            raise self.failure
        sys.stdout.write("noise")
        result = self.checkpoint.with_suffix(".onnx")
        result.write_text(repr(arguments))
        return str(result)


@pytest.fixture
def ultralytics(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A package that looks like Ultralytics to the exporter, online, with one published checkpoint."""
    package = SimpleNamespace(YOLO=FakeModel, __version__="8.4.0", __spec__=ModuleSpec("ultralytics", None))
    utilities = SimpleNamespace(
        DEFAULT_CFG_DICT={"half": False}, SETTINGS={"weights_dir": "/nowhere"}, is_online=lambda: True
    )
    downloads = SimpleNamespace(
        GITHUB_ASSETS_NAMES=frozenset({"yolo11n.pt"}),
        attempt_download_asset=lambda path, **_: Path(path).write_text("weights"),
    )
    package.utils, utilities.downloads = utilities, downloads
    monkeypatch.setitem(sys.modules, "ultralytics", package)
    monkeypatch.setitem(sys.modules, "ultralytics.utils", utilities)
    monkeypatch.setitem(sys.modules, "ultralytics.utils.downloads", downloads)
    monkeypatch.setattr(FakeModel, "failure", None)
    return package


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "mine" / "best.pt"
    path.parent.mkdir()
    path.write_text("weights")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "export"
    path.mkdir()
    return path


def exported_with(weights: Path, folder: Path, **options: object) -> str:
    return export_onnx(weights, folder, ExportOptions(**options)).read_text()  # type: ignore[arg-type]


@pytest.mark.usefixtures("ultralytics")
def test_the_export_lies_in_the_folder_and_nothing_beside_the_weights(
    weights: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export_onnx(weights, folder, ExportOptions()) == folder / "best.onnx"
    assert [path.name for path in folder.iterdir()] == ["best.onnx"]
    assert [path.name for path in weights.parent.iterdir()] == ["best.pt"]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("installed", [True, False])
def test_by_default_shapes_are_open_and_the_graph_is_simplified_where_that_can_be_done(
    weights: Path, folder: Path, ultralytics: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    known = {"ultralytics": ultralytics.__spec__, "onnxslim": ultralytics.__spec__ if installed else None}
    monkeypatch.setattr(export, "find_spec", known.get)
    expected = {"format": "onnx", "dynamic": True, "batch": 1, "simplify": installed, "opset": None}
    assert exported_with(weights, folder) == repr(expected)


@pytest.mark.usefixtures("ultralytics")
def test_options_have_ultralytics_names(weights: Path, folder: Path) -> None:
    text = exported_with(
        weights, folder, imgsz=(320, 640), dynamic=False, batch=2, simplify=False, opset=17, nms=True, half=True
    )
    expected = {"format": "onnx", "dynamic": False, "batch": 2, "simplify": False, "opset": 17}
    assert text == repr(expected | {"imgsz": [320, 640], "nms": True, "half": True})


def test_half_precision_has_another_name_in_newer_versions(
    weights: Path, folder: Path, ultralytics: SimpleNamespace
) -> None:
    ultralytics.utils.DEFAULT_CFG_DICT["quantize"] = None
    assert "'quantize': 16" in exported_with(weights, folder, half=True)


@pytest.mark.usefixtures("ultralytics")
def test_a_failure_is_told_in_one_line_with_the_user_s_own_path(
    weights: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeModel, "failure", AssertionError(f"ERROR ❌️ {folder}/best.pt is empty\nmore"))
    with pytest.raises(InvalidArgumentError) as caught:
        export_onnx(weights, folder, ExportOptions())
    assert str(caught.value).startswith(f"Ultralytics 8.4.0 cannot export '{weights}': best.pt is empty; check ")
    assert list(folder.iterdir()) == []


def test_without_ultralytics_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "find_spec", lambda _: None)
    with pytest.raises(UnsupportedError, match=r'pip install "naiad\[yolo\]"'):
        import_ultralytics()


def test_published_weights_are_downloaded_once(ultralytics: SimpleNamespace, tmp_path: Path) -> None:
    ultralytics.utils.SETTINGS["weights_dir"] = str(tmp_path / "weights")
    assert fetch_weights("yolo11n.pt") == tmp_path / "weights" / "yolo11n.pt"
    ultralytics.utils.downloads.attempt_download_asset = None
    assert fetch_weights("yolo11n.pt").read_text() == "weights"


def test_offline_is_told_at_once(ultralytics: SimpleNamespace) -> None:
    ultralytics.utils.is_online = lambda: False
    with pytest.raises(NotFoundError, match=r"'yolo11n\.pt' is not here, and this machine is offline"):
        fetch_weights("yolo11n.pt")


def test_a_download_that_fails_is_told_with_its_reason(ultralytics: SimpleNamespace, tmp_path: Path) -> None:
    def fail(path: Path, **_: object) -> None:
        raise ConnectionError(f"cannot reach {path.name}")

    ultralytics.utils.SETTINGS["weights_dir"] = str(tmp_path)
    ultralytics.utils.downloads.attempt_download_asset = fail
    with pytest.raises(NotFoundError, match=r"cannot be downloaded: cannot reach yolo11n\.pt; download it elsewhere"):
        fetch_weights("yolo11n.pt")
    ultralytics.utils.downloads.attempt_download_asset = lambda *_, **__: None
    with pytest.raises(NotFoundError, match="cannot be downloaded; download it elsewhere"):
        fetch_weights("yolo11n.pt")


@pytest.mark.usefixtures("ultralytics")
def test_a_name_that_nobody_publishes_is_a_missing_file() -> None:
    with pytest.raises(NotFoundError, match=r"'nosuch\.pt' does not exist"):
        fetch_weights("nosuch.pt")


def test_quiet_mutes_what_is_known_to_be_noisy_and_lets_it_speak_again(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    noisy, other = logging.getLogger("onnxscript"), logging.getLogger("somebody.else")
    with quiet():
        sys.stdout.write("hidden")
        noisy.error("hidden")
        other.error("heard")
    noisy.error("heard, too")
    assert capsys.readouterr().out == ""
    assert "hidden" not in caplog.text
    assert {"heard", "heard, too"} <= {record.message for record in caplog.records}
