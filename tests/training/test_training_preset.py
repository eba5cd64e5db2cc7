"""Presets: read, copied, changed, and what is said of a wrong one."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from learning_scene import small_task
from pydantic import ValidationError

from napari_oneshot_lmk.errors import UsageError
from napari_oneshot_lmk.training.config import Duration, Stream, TrainingConfig, random_stream
from napari_oneshot_lmk.training.preset import PRESETS, Preset, preset_text

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", PRESETS)
def test_shipped_file_states_every_setting_and_can_be_copied(name, tmp_path):
    stated = preset_text(name).splitlines()
    for dotted, _ in Preset().values():
        setting = dotted.partition(".")[2]
        assert any(line.startswith(f"{setting} = ") for line in stated), dotted
    preset = Preset.load(name)
    copy = tmp_path / "mine.toml"
    copy.write_text(preset.to_toml(), encoding="utf-8")
    assert Preset.load(copy) == preset
    assert Preset.load(str(copy)) == preset


def test_defaults_are_the_published_numbers():
    paper = Preset.load("paper")
    assert Preset() == Preset.from_toml("") == paper
    assert (paper.training.epochs, paper.training.batch) == (300, 8)
    assert paper.training.learning_rate == paper.training.weight_decay == 1e-4
    copies = paper.template_copies
    assert (copies.count, copies.shift, copies.scale, copies.rotation_deg) == (500, 0.02, 0.01, 5)
    assert (paper.patch.size, paper.loss.window) == (192, 22)
    assert (paper.loss.bias_per_cell, paper.loss.bias_cap) == (0.07, 0.8)
    assert paper.labels.initial == "random"
    assert paper.network.adapter_channels == 16


def test_file_of_a_user_may_state_a_few_settings(tmp_path):
    file = tmp_path / "short.toml"
    file.write_text("[training]\nepochs = 2\n", encoding="utf-8")
    preset = Preset.load(file)
    assert preset.training.epochs == 2
    assert preset.differences(Preset.load("paper")) == ["training.epochs is 2, was 300 before"]
    with pytest.raises(ValidationError):
        preset.training.epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[training\n", "is not valid TOML"),
        ("[training]\nepoch = 3\n", "there is no setting training.epoch"),
        ("[trainings]\nepochs = 3\n", "there is no setting trainings"),
        ("[training]\nepochs = 0\n", "training.epochs: input should be greater than 0"),
        ('[labels]\ninitial = "luck"\n', "labels.initial: input should be 'instant'"),
        ("[template_copies]\ngamma = [2, 1]\n", "template_copies.gamma: the first"),
        ("[template_copies]\nshift = nan\n", "template_copies.shift: input should be"),
        ("[patch]\nsize = 100\n", "patch.size: input should be a multiple of 32"),
        ('[patch]\nplacement = "jittered"\njitter_px = 96\n', "patch.jitter_px should be less"),
        ("[loss]\nwindow = 5\n", "loss.window: input should be a multiple of 2"),
    ],
)
def test_wrong_file_is_told_in_one_sentence(text, said, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        Preset.load(file)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{file}: ")
    assert said in line


@pytest.mark.parametrize("name", ["quick", "there/is/none.toml", "."])
def test_unknown_preset_names_those_there_are(name):
    with pytest.raises(UsageError, match="use laptop, gpu, paper"):
        Preset.load(name)


def test_some_values_can_be_changed():
    changes = {"network.adapter_channels": 0, "labels.initial": "random"}
    expected = {**dict(Preset.load("laptop").values()), **changes}
    assert dict(Preset.load("laptop").changed(changes).values()) == expected
    for name, value, said in (
        ("network.adapters", 3, "there is no setting network.adapters"),
        ("adapter_channels", 3, "there is no setting adapter_channels"),
        ("network.adapter_channels", -1, "network.adapter_channels: input should"),
    ):
        with pytest.raises(UsageError, match=said):
            Preset().changed({name: value})


def test_method_page_lists_every_value():
    page = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
    presets = [dict(Preset.load(name).values()) for name in ("paper", "gpu", "laptop")]
    for section in page.split("### `[")[1:]:
        name, _, rows = section.partition("]`")
        for row in re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.+?) \|", rows, re.M):
            for preset, cell in zip(presets, row[1:], strict=True):
                value = preset.pop(f"{name}.{row[0]}")
                assert json.loads(cell) == json.loads(json.dumps(value)), row
    assert presets == [{}, {}, {}]


# -- the configuration that names one ------------------------------------------------


def test_time_and_computer_choose_the_preset():
    def chosen(on_gpu: bool = False, **values: Any) -> Preset:
        return TrainingConfig(**values).resolve_preset(lambda: on_gpu)

    laptop = Preset.load("laptop")
    assert chosen() == laptop
    assert chosen(on_gpu=True) == Preset.load("gpu")
    assert chosen(time=Duration.THOROUGH) == laptop
    assert chosen(time=Duration.QUICK).training.epochs < laptop.training.epochs
    # A preset that was chosen is taken as it is, but for what was set beside it.
    assert chosen(preset="paper", time=Duration.QUICK) == Preset.load("paper")
    changed = chosen(preset="paper", epochs=2, adapter_channels=4)
    assert changed.training.epochs == 2
    assert changed.network.adapter_channels == 4


def test_a_thorough_training_has_a_fine_stage_unless_a_preset_is_chosen(tmp_path):
    template = small_task(tmp_path).template

    def fine(**values: Any) -> bool:
        config = TrainingConfig(**values)
        resolved = config.resolved(template, lambda: False)
        assert resolved.fine == config.has_fine_stage
        # A child process is told so, and going on with a run changes nothing.
        assert ("--fine" in config.with_preset("laptop").to_arguments()) == resolved.fine
        assert not resolved.differences(resolved.resolved(template, lambda: False))
        return resolved.fine

    assert fine(time=Duration.THOROUGH)
    assert not fine(time=Duration.NORMAL)
    assert fine(fine=True)
    assert not fine(time=Duration.THOROUGH, preset="laptop")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"method": "both"}, "there is no method 'both'; use fused, single, joint"),
        ({"initial_labels": "anywhere"}, "labels.initial: input should be 'instant' or"),
        ({"epochs": 0}, "training.epochs: input should be greater than 0"),
        ({"batch": 2}, "there is no setting batch"),
    ],
)
def test_what_a_training_cannot_be_is_refused(values, says):
    with pytest.raises(UsageError, match=says):
        TrainingConfig(**values).resolve_preset(lambda: False)


def test_arguments_say_the_same():
    arguments = ["--method", "fused", "--seed", "0", "--device", "auto"]
    assert TrainingConfig().to_arguments() == arguments
    config = TrainingConfig(
        method="single",
        landmarks=("nasion", "gonion"),
        preset="paper",
        adapter_channels=0,
        template_stage=False,
        spacing_mm_yx=(0.1, 0.25),
        pack=True,
        encoder_weights=Path("w.safetensors"),
    )
    assert config.to_arguments() == [
        *("--method", "single", "--landmark", "nasion", "--landmark", "gonion"),
        *("--preset", "paper", "--adapter-channels", "0", "--no-template-stage"),
        *("--spacing", "0.1x0.25", "--seed", "0", "--pack"),
        *("--encoder-weights", "w.safetensors", "--device", "auto"),
    ]


def test_streams_of_random_numbers_do_not_meet():
    places = {(s, i, j) for s in Stream for i in range(4) for j in range(4)}
    first = {random_stream(3, s, i, j).random() for s, i, j in places}
    assert len(first) == len(places)
