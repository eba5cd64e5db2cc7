"""The command as a whole: help, version, endings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from cli_scene import run
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


def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "napari_oneshot_lmk", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )


def test_version_and_help() -> None:
    assert run("--version").stdout.split() == ["oneshot-lmk", __version__]
    result = run("--help")
    assert result.exit_code == 0
    for command in COMMANDS:
        assert command in result.stdout
        assert run(command, "--help").exit_code == 0


def test_real_exit_codes() -> None:
    assert call("--version").returncode == 0
    unknown = call("detekt")
    assert unknown.returncode == 2
    assert "Traceback" not in unknown.stderr
    missing = call("evaluate", "--predicted", "no.csv", "--truth", "no.csv")
    assert missing.returncode == 1
    assert missing.stdout == ""
    assert missing.stderr.startswith("no.csv: ")


def test_terminal_that_knows_only_ascii(tmp_path: Path) -> None:
    table = tmp_path / "été.csv"
    table.write_text("image,landmark,x_px,y_px\ni.png,a,1,2\n", encoding="utf-8")
    both = ["--predicted", str(table), "--truth", str(table), "--spacing", "1"]
    result = call("evaluate", *both, PYTHONIOENCODING="ascii")
    assert result.returncode == 0, result.stderr
    assert "0.00" in result.stdout


def test_missing_option_is_wrong_use() -> None:
    assert run("detect", "image.png").exit_code == 2


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, napari_oneshot_lmk.cli.app\n"
        "heavy = {'torch', 'monai', 'pandas', 'matplotlib', 'SimpleITK', 'napari'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.strip() == "[]"


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
def test_codes(error: Exception, code: int) -> None:
    assert code_of(error) == code


def failing_app(error: BaseException) -> typer.Typer:
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    @handle_errors
    def fail() -> None:
        raise error

    return app


def test_defect_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DEBUG_VARIABLE, raising=False)
    result = CliRunner().invoke(failing_app(ZeroDivisionError("by zero")))
    assert result.exit_code == 1
    assert "ZeroDivisionError: by zero" in result.stderr
    assert "--debug" in result.stderr
    assert "Traceback" not in result.output


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEBUG_VARIABLE, "1")
    result = CliRunner().invoke(failing_app(ZeroDivisionError("by zero")))
    assert isinstance(result.exception, ZeroDivisionError)


def test_debug_option_is_a_traceback_in_a_process() -> None:
    result = call("--debug", "evaluate", "--predicted", "no.csv", "--truth", "no.csv")
    assert result.returncode == 1
    assert "Traceback" in result.stderr


def test_ctrl_c_ends_with_130() -> None:
    result = CliRunner().invoke(failing_app(KeyboardInterrupt()))
    assert result.exit_code == 130
    assert result.stderr.strip() == "Stopped."


def test_info_is_complete() -> None:
    import json

    result = run("info", "--json")
    assert result.exit_code == 0
    content = json.loads(result.stdout)
    assert {"python", "torch", "monai", "SimpleITK"} <= set(content["versions"])
    assert content["devices"][0]["name"] == "cpu"
    assert isinstance(content["devices"][0]["bf16"], bool)
    assert len(content["encoder_weights"]) >= 3
    assert content["shipped_encoder"]["name"]
    words = run("info").stdout
    for place in content["encoder_weights"]:
        assert place["where"] in words


def test_info_names_weights_that_were_found(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_oneshot_lmk.encoders.weights import CACHED_FILE

    monkeypatch.setenv("ONESHOT_LMK_CACHE", str(tmp_path))
    (tmp_path / CACHED_FILE).write_bytes(b"x")
    result = run("info")
    assert f"weights from {tmp_path / CACHED_FILE}" in result.stdout


def test_progress_in_a_log(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_oneshot_lmk.cli import console

    clock = iter([0.0, 0.0, 10.0, 30.0, 31.0, 40.0])
    monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
    with console.counting_bar("Detecting") as advance:
        for done in (0, 1, 2, 3, 4):
            advance(done, 4)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["Detecting: 2 of 4, 0:30 left", "Detecting: 4 of 4, 0:40"]


def test_progress_in_a_log_leaves_out_what_went_before(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_oneshot_lmk.cli import console

    # A method that trains for ten minutes before it looks at its first image.
    clock = iter([0.0, 600.0, 640.0])
    monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
    with console.counting_bar("fused") as advance:
        advance(0, 4)
        advance(2, 4)
    assert "fused: 2 of 4, 0:40 left" in capsys.readouterr().err.splitlines()


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from io import StringIO

    from rich.console import Console

    from napari_oneshot_lmk.cli import console

    screen = StringIO()
    terminal = Console(file=screen, force_terminal=True, width=100)
    monkeypatch.setattr(console, "messages", terminal)
    with console.download_bar("Fetching"):
        pass
    assert "Fetching" not in screen.getvalue()
    with console.counting_bar("Detecting") as advance:
        advance(3, 4)
    assert "3/4" in screen.getvalue()
    assert "left" in screen.getvalue()


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
            "spacing_mm_yx": (0.1, 0.25),
            "seed": 7,
            "pack": True,
            "encoder_weights": Path("w.pth"),
            "device": "cpu",
        },
    ],
)
def test_each_field_of_the_configuration_is_an_option_that_means_it(
    changes: dict[str, object],
) -> None:
    fields = {name for name in TrainingConfig.model_fields if option_of(name)}
    assert not changes or set(changes) == fields
    config = TrainingConfig(**changes)
    command = get_command(app).commands["train"]  # type: ignore[attr-defined]
    words = ["--template", "T", "--images", "I", "--out", "O", *config.to_arguments()]
    given = command.make_context("train", words).params
    assert _config_from({name: given[name] for name in fields}) == config
    titles = {option.name: option.help for option in command.params}
    assert all(titles[name] == TrainingConfig.model_fields[name].description for name in fields)
