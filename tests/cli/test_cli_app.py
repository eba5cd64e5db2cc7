"""The command as a whole: help, version, endings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from cli_scene import Ended, python, run, succeed
from typer.main import get_command
from typer.testing import CliRunner

from napari_oneshot_lmk import __version__
from napari_oneshot_lmk.cli.app import app
from napari_oneshot_lmk.cli.errors import DEBUG_VARIABLE, code_of, handle_errors
from napari_oneshot_lmk.cli.train import _config_from
from napari_oneshot_lmk.errors import (
    GeometryError,
    ImageError,
    OutputError,
    UsageError,
    WeightsError,
)
from napari_oneshot_lmk.training.config import TrainingConfig, option_of

COMMANDS = ["template", "detect", "evaluate", "benchmark", "info", "demo"]


def call(*arguments: str, **environment: str) -> Ended:
    return python("-m", "napari_oneshot_lmk", *arguments, **environment)


def test_version_and_help():
    assert run("--version").stdout.split() == ["oneshot-lmk", __version__]
    shown = succeed("--help").stdout
    for command in COMMANDS:
        assert command in shown
        succeed(command, "--help")


def test_real_exit_codes():
    assert call("--version").returncode == 0
    unknown = call("detekt")
    assert unknown.returncode == 2
    assert "Traceback" not in unknown.stderr
    missing = call("evaluate", "--predicted", "no.csv", "--truth", "no.csv")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr.startswith("no.csv: ")


def test_terminal_that_knows_only_ascii(tmp_path):
    table = tmp_path / "été.csv"
    table.write_text("image,landmark,x_px,y_px\ni.png,a,1,2\n", encoding="utf-8")
    both = ["--predicted", str(table), "--truth", str(table), "--spacing", "1"]
    result = call("evaluate", *both, PYTHONIOENCODING="ascii")
    assert result.returncode == 0, result.stderr
    assert "0.00" in result.stdout


def test_missing_option_is_wrong_use():
    assert run("detect", "image.png").exit_code == 2


def test_help_loads_nothing_heavy():
    code = (
        "import sys, napari_oneshot_lmk.cli.app\n"
        "heavy = {'torch', 'monai', 'pandas', 'matplotlib', 'SimpleITK', 'napari'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert python("-c", code).stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (OutputError("exists", file="f"), 2),
        (GeometryError("spacing 0"), 2),
        (GeometryError("spacing 0", file="f.dcm"), 1),
        (ImageError("empty", file="f"), 1),
        (WeightsError("wrong", file="f"), 1),
    ],
)
def test_codes(error, code):
    assert code_of(error) == code


def failing_app(error: BaseException) -> typer.Typer:
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    @handle_errors
    def fail() -> None:
        raise error

    return app


def test_defect_is_one_sentence_and_a_traceback_when_debugging(monkeypatch):
    failing = failing_app(ZeroDivisionError("by zero"))
    monkeypatch.delenv(DEBUG_VARIABLE, raising=False)
    result = CliRunner().invoke(failing)
    assert result.exit_code == 1
    assert "ZeroDivisionError: by zero" in result.stderr
    assert "--debug" in result.stderr
    assert "Traceback" not in result.output
    monkeypatch.setenv(DEBUG_VARIABLE, "1")
    assert isinstance(CliRunner().invoke(failing).exception, ZeroDivisionError)


def test_debug_option_is_a_traceback_in_a_process():
    result = call("--debug", "evaluate", "--predicted", "no.csv", "--truth", "no.csv")
    assert result.returncode == 1
    assert "Traceback" in result.stderr


def test_ctrl_c_ends_with_130():
    result = CliRunner().invoke(failing_app(KeyboardInterrupt()))
    assert result.exit_code == 130
    assert result.stderr.strip() == "Stopped."


def test_info_is_complete():
    content = json.loads(succeed("info", "--json").stdout)
    assert {"python", "torch", "monai", "SimpleITK"} <= set(content["versions"])
    assert content["devices"][0]["name"] == "cpu"
    assert isinstance(content["devices"][0]["bf16"], bool)
    assert len(content["encoder_weights"]) >= 3
    assert content["shipped_encoder"]["name"]
    words = run("info").stdout
    for place in content["encoder_weights"]:
        assert place["where"] in words


def test_info_names_weights_that_were_found(tmp_path, monkeypatch):
    from napari_oneshot_lmk.encoders.weights import CACHED_FILE

    monkeypatch.setenv("ONESHOT_LMK_CACHE", str(tmp_path))
    (tmp_path / CACHED_FILE).write_bytes(b"x")
    assert f"weights from {tmp_path / CACHED_FILE}" in run("info").stdout


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "method": "single",
            "landmarks": ("apex", "tip"),
            "preset": "paper",
            "adapter_channels": 0,
            "initial_labels": "random",
            "template_stage": False,
            "fine": True,
            "spacing_mm_yx": (0.1, 0.25),
            "seed": 7,
            "pack": True,
            "encoder_weights": Path("w.pth"),
            "device": "cpu",
        },
    ],
)
def test_each_field_of_the_configuration_is_an_option_that_means_it(changes):
    fields = {name for name in TrainingConfig.model_fields if option_of(name)}
    assert not changes or set(changes) == fields
    config = TrainingConfig(**changes)
    command = get_command(app).commands["train"]  # type: ignore[attr-defined]
    words = ["--template", "T", "--images", "I", "--out", "O", *config.to_arguments()]
    given = command.make_context("train", words).params
    assert _config_from({name: given[name] for name in fields}) == config
    titles = {option.name: option.help for option in command.params}
    assert all(titles[name] == TrainingConfig.model_fields[name].description for name in fields)
