"""The published rivals on little data: their parts against plain references, and their rows."""

import itertools
import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cli_scene import point_rows, save_image, save_table, scene, view
from random_vgg19 import narrow_vgg19, saved_weights
from typer.testing import CliRunner

from napari_oneshot_lmk.encoders.select import build_encoder
from napari_oneshot_lmk.errors import UsageError, WeightsError
from napari_oneshot_lmk.landmarks.dataset import Dataset
from rivals import fmosd
from rivals.__main__ import app
from rivals.dino import CHANNELS, DinoKeys, with_neighbours
from rivals.fmosd import GlobalDecoder, distance_aware_loss
from rivals.loop import Budget, Schedule, optimise
from rivals.matching import match_both_ways, product_of_cosines
from rivals.published import FIGURES, TABLE_2
from rivals.registry import RIVALS, find_rival
from rivals.rival import Options
from rivals.rows import Rows
from rivals.sam import TEMPERATURE, contrast
from rivals.study import Study
from rivals.uod import clamped_loss
from rivals.voting import vote, voting_loss, voting_targets

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.timeout(600)]
SHIFTS = {"t.png": (0, 0), "u.png": (4, -4), "a.png": (6, 0), "b.png": (0, -8)}
OPTIONS = Options(width=0.05, points=4, batch=2, learning_rate=1e-3, copies=2, crops=1)
ON_VGG19 = [name for name, rival in RIVALS.items() if not rival.needs_dino]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    (folder / "images").mkdir()
    rows = []
    for name, shift in SHIFTS.items():
        save_image(folder / "images" / name, view(scene(), shift))
        # The landmarks of the unlabelled image are not in the table.
        rows += point_rows(name, shift) if name != "u.png" else []
    save_table(folder / "landmarks.csv", rows)
    splits = {"train": ["t.png", "u.png"], "test": ["a.png", "b.png"]}
    description = {"template": "t.png", "spacing_mm": 0.5, "splits": splits}
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    with narrow_vgg19():
        yield saved_weights(tmp_path_factory.mktemp("weights") / "vgg19.safetensors")


@pytest.fixture(scope="module")
def study(data, narrow, tmp_path_factory):
    encoder = build_encoder(narrow, "cpu")
    return Study.of(Dataset.load(data), encoder, tmp_path_factory.mktemp("features"), seed=1)


@pytest.fixture(scope="module")
def untrained(study):
    made = {}

    def get(name):
        if name not in made:
            made[name] = find_rival(name)(study, OPTIONS, get)
        return made[name]

    return get


def test_a_study_holds_no_landmark_but_the_templates(study):
    assert len(study.images) == 2
    assert study.unlabelled == (1,)
    assert not any(isinstance(value, Dataset) for value in vars(study).values())
    assert len(study.template_yx) == len(study.template.landmarks.placed)


@pytest.mark.parametrize("name", ON_VGG19)
def test_some_steps_lower_the_loss(untrained, name):
    rival = untrained(name)
    rival.prepare(lambda done, total: None)
    before = {k: v.clone() for k, v in rival.network.state_dict().items()}

    def same(generator):
        # The same draws in each step: only the network changes.
        return rival.loss(torch.Generator().manual_seed(5))

    schedule = Schedule(steps=6, batch=2, learning_rate=3e-3)
    result = optimise(rival.network, same, schedule, Budget(), seed=1)
    assert result.steps == 6
    assert result.last_loss < result.first_loss
    assert not rival.network.training
    rival.network.load_state_dict(before)


@pytest.mark.parametrize("name", ON_VGG19)
def test_a_rival_finds_every_landmark_inside_the_image(study, untrained, name):
    rival = untrained(name)
    rival.network.eval()
    image = study.template.image
    with torch.no_grad():
        found = rival.locate(study.query(image))
    assert found.shape == study.template_yx.shape
    assert found.min() >= -0.5
    assert found.max() <= 383.5


def test_wider_variants_have_the_papers_channels(study):
    # 38.0 M parameters; 41.3 and 132.5 M with more channels (computed from the layers' sizes).
    assert RIVALS["cc2d+16"].extra == 16
    assert RIVALS["cc2d+304"].extra == 16 * 19
    channels = (64, 128, 256, 512, 512)
    from napari_oneshot_lmk.network.network import LandmarkNetwork
    from rivals.cc2d import WiderConfig

    counts = []
    for extra in (0, 16):
        with torch.device("meta"):
            network = LandmarkNetwork(WiderConfig(channels, 1, 0, 1.0, extra_channels=extra))
        counts.append(sum(each.numel() for each in network.parameters()) / 1e6)
    assert counts[0] == pytest.approx(38.0, abs=0.1)
    assert counts[1] == pytest.approx(41.3, abs=0.2)


def test_product_of_cosines_is_that_of_each_cell():
    torch.manual_seed(0)
    levels, anchors = [torch.randn(3, 4, 4)], [torch.randn(2, 3)]
    found = product_of_cosines(levels, anchors, (4, 4))
    for n, y, x in itertools.product(range(2), range(4), range(4)):
        a, b = anchors[0][n], levels[0][:, y, x]
        plain = max(0.0, float(a @ b / (a.norm() * b.norm() + 1e-3)))
        assert float(found[n, y, x]) == pytest.approx(plain, abs=1e-5)


def test_uods_loss_is_a_softmax_over_the_cells_around_the_right_one():
    torch.manual_seed(0)
    anchors, level = torch.randn(1, 2, 3), torch.randn(1, 3, 6, 6)
    cells, counted = torch.tensor([[[2, 3], [0, 5]]]), torch.tensor([[True, True]])
    expected = []
    for point in range(2):
        y, x = cells[0, point].tolist()
        total, right = 0.0, 0.0
        for row in range(max(0, y - 2), min(6, y + 2)):
            for column in range(max(0, x - 2), min(6, x + 2)):
                cosine = F.cosine_similarity(anchors[0, point], level[0, :, row, column], dim=0)
                value = math.exp(max(0.0, float(cosine)))
                total += value
                right = value if (row, column) == (y, x) else right
        expected.append(-math.log(right / total))
    found = clamped_loss(anchors, level, cells, counted, 2)
    assert float(found) == pytest.approx(sum(expected) / 2, abs=1e-5)
    only = clamped_loss(anchors, level, cells, torch.tensor([[False, True]]), 2)
    assert float(only) == pytest.approx(expected[1], abs=1e-5)


def test_sams_loss_tells_a_cell_from_all_others():
    torch.manual_seed(0)
    a, b = (F.normalize(torch.randn(1, 3, 4, 4), dim=1) for _ in range(2))
    at = torch.tensor([[[1.5, 2.5]]])
    known = torch.tensor([[True]])
    generator = torch.Generator().manual_seed(0)
    logits = TEMPERATURE * (b[0].flatten(1).T @ a[0, :, 1, 2])
    found = contrast(a, at, b, at, known, None, 1, generator)
    assert float(found) == pytest.approx(float(-logits.log_softmax(0)[1 * 4 + 2]), abs=1e-5)
    nothing = contrast(a, at, b, at, ~known, None, 1, generator)
    assert float(nothing) == 0


def test_discs_vote_for_the_point_they_point_to():
    points = torch.tensor([[20.0, 31.0], [40.0, 12.0]])
    disc, way = voting_targets(points, 6, (60, 50))
    assert disc[0].sum() == sum(1 for y in range(-6, 7) for x in range(-6, 7) if y * y + x * x < 36)
    assert vote(disc, way, 6).tolist() == [[20, 31], [40, 12]]
    perfect = voting_loss((disc * 60 - 30)[None], way[None], disc[None], way[None])
    wrong = voting_loss((disc * 60 - 30)[None], way[None] + 0.5, disc[None], way[None])
    assert float(perfect) == pytest.approx(0, abs=1e-5)
    # Half a radius off in two directions, for each of two landmarks of a disc in two.
    assert float(wrong) == pytest.approx(1.0, abs=1e-5)


def test_distance_aware_loss_is_the_squared_distance_from_a_gaussian():
    torch.manual_seed(0)
    features = torch.randn(4, 5, 6)
    expected = []
    for y, x in itertools.product(range(5), range(6)):
        cosine = float(F.cosine_similarity(features[:, y, x], features[:, 2, 3], dim=0))
        expected.append((cosine - math.exp(-((y - 2) ** 2 + (x - 3) ** 2) / 8)) ** 2)
    found = distance_aware_loss(features, torch.tensor([[2.2, 2.9]]), 2.0)
    assert float(found) == pytest.approx(np.mean(expected), abs=1e-6)


def test_the_global_decoder_is_a_convolution_of_the_interpolated_map():
    torch.manual_seed(0)
    decoder, features = GlobalDecoder(5, 0.05), torch.randn(1, 5, 6, 4)
    finer = F.interpolate(features, (11, 9), mode="bilinear", align_corners=False)
    expected = F.conv2d(finer, decoder.weight, decoder.bias, padding=1)
    torch.testing.assert_close(decoder(features, (11, 9)), expected)


def test_matching_in_both_directions_leaves_out_a_cell_that_matches_back_elsewhere():
    # Cell 0 of the template is sought; cell 1 of the query is the most similar one, but is
    # the template's cell 3; cell 2 matches back.
    template = torch.tensor([[1.0, 0, 0, 0.9], [0, 0, 1, 0.5], [0, 1, 0, 0]])[:, None]
    query = torch.tensor([[0.0, 0.9, 0.9, 0], [0, 0.44, -0.5, 1], [1, 0, 0, 0]])[:, None]
    cells, each = torch.tensor([[0, 0]]), torch.ones(2)
    assert match_both_ways(query, template, cells, 1, each).tolist() == [[0, 1]]
    assert match_both_ways(query, template, cells, 2, each).tolist() == [[0, 2]]


def random_dino(path):
    torch.manual_seed(0)
    encoder = DinoKeys()
    state = {k: torch.randn_like(v) * 0.05 for k, v in encoder.state_dict().items()}
    state["blocks.9.norm1.weight"] = torch.ones(CHANNELS)  # of blocks that are not read
    torch.save(state, path)
    return path


def test_keys_of_dino_lie_on_a_grid_of_four_pixels(tmp_path):
    encoder = DinoKeys.load(random_dino(tmp_path / "dino.pth"))
    keys = encoder(torch.rand(1, 1, 32, 24))
    assert keys.shape == (1, CHANNELS, 7, 5)
    assert keys.isfinite().all()
    around = with_neighbours(keys)
    assert around.shape == (1, 17 * CHANNELS, 7, 5)
    # The fifth of the near ones is the cell itself, the first the one up and to the left.
    torch.testing.assert_close(around[:, 4 * CHANNELS : 5 * CHANNELS], keys)
    torch.testing.assert_close(around[0, :CHANNELS, 3, 3], keys[0, :, 2, 2])


@pytest.mark.parametrize("content", [{"a": torch.zeros(1)}, [1], None])
def test_other_files_are_not_dinos(tmp_path, content):
    path = tmp_path / "dino.pth"
    path.write_text("nothing") if content is None else torch.save(content, path)
    with pytest.raises(WeightsError, match="dino"):
        DinoKeys.load(path)


def test_fm_osd_runs_on_random_weights_of_dino(study, tmp_path, monkeypatch):
    from dataclasses import replace

    monkeypatch.setattr(fmosd.FrozenDino.__init__, "__defaults__", (32,))
    from rivals.fmosd_fine import FMOSDFine

    monkeypatch.setattr(FMOSDFine, "side", 32)
    options = replace(OPTIONS, batch=1, dino_weights=random_dino(tmp_path / "dino.pth"))
    made = {}

    def get(name):
        if name not in made:
            made[name] = find_rival(name)(study, options, get)
        return made[name]

    fine = get("fm-osd-fine")
    for rival in (get("fm-osd-coarse"), fine):
        optimise(rival.network, rival.loss, rival.schedule, Budget(steps=1), seed=0)
    assert fine.locate(study.query(study.template.image)).shape == study.template_yx.shape
    with pytest.raises(WeightsError, match="does not come with this project"):
        find_rival("fm-osd-coarse")(study, OPTIONS)


def test_a_budget_ends_a_training():
    schedule = Schedule(steps=100, batch=1, learning_rate=1.0, factor=0.5, parts=2)
    assert Budget().done(1e9, 50, schedule) == 0.5
    assert Budget(minutes=2).done(60, 1000, schedule) == 0.5
    assert Budget(minutes=2, steps=10).done(60, 10, schedule) == 1
    with pytest.raises(UsageError):
        Budget(minutes=0)


def test_a_row_that_is_there_is_kept(data, study, tmp_path):
    told = []
    rows = Rows(Dataset.load(data), study, tmp_path, OPTIONS, Budget(steps=1), told.append)
    first = rows.run("cc2d")
    assert first["images"] == 2
    assert first["accuracy"]["grid384"]["n"] == first["accuracy"]["native"]["n"] > 0
    assert "1 of 61800 steps of 2" in first["how"]
    told.clear()
    again = Rows(Dataset.load(data), study, tmp_path, OPTIONS, Budget(steps=1), told.append)
    assert again.run("cc2d") == first
    assert len(told) == 1
    # Interrupted between training and scoring: the network is not trained again.
    (again.place("cc2d") / "row.json").unlink()
    scored = again.run("cc2d")
    assert any("trained network is there" in words for words in told)
    assert scored["accuracy"] == first["accuracy"]


def test_one_command_prints_the_whole_table(data, narrow, tmp_path):
    arguments = [
        *("all", "--data", data, "--out", tmp_path / "out", "--encoder-weights", narrow),
        *("--device", "cpu", "--steps", 1, "--width", 0.05, "--batch", 2, "--copies", 2),
        *("--crops", 1, "--ours", "instant", "--our-seeds", 0),
    ]
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert result.exit_code == 0, result.output
    page = (tmp_path / "out" / "table.md").read_text(encoding="utf-8")
    for name, rival in RIVALS.items():
        assert rival.title in page, name
    assert page.count("needs DINO's ViT-S/8") == 4  # two rows, two scorings
    assert "instant (this project)" in page
    assert "2.04; 62.46 / 71.62 / 80.00 / 89.45" in page
    kept = CliRunner().invoke(app, [str(each) for each in arguments])
    assert kept.exit_code == 0
    assert "is there and is kept" in kept.output


def test_published_means_are_those_of_the_landmarks():
    for column, name in ((0, "cc2d"), (1, "fm-osd-fine"), (3, "fine")):
        mre = np.mean([row[column][0] for row in TABLE_2.values()])
        sdr = np.mean([row[column][1] for row in TABLE_2.values()])
        assert mre == pytest.approx(FIGURES[name][0], abs=0.01)
        assert sdr == pytest.approx(FIGURES[name][1], abs=0.1)


def test_an_unknown_rival_is_refused_by_name():
    with pytest.raises(UsageError, match="there is no rival 'voting'"):
        find_rival("voting")
