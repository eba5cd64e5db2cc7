"""Whole-body poses: found by vote, and a look-alike finger is not taken."""

import numpy as np
import torch

from napari_oneshot_lmk.matching.poses import PoseTrials
from napari_oneshot_lmk.matching.shape import ShapeModel

SHAPE = (128, 128)
PIXEL_SIZE = np.array([1.0, 1.0])


def plausible_poses(maps, points, count=3):
    """Poses as an array, those that no body takes left out."""
    trials = PoseTrials(points, 30.0)
    poses, plausible = trials.best(maps, 2, torch.from_numpy(PIXEL_SIZE), count)
    return poses[plausible].numpy()


def bumps(places, heights, stride=2, width=3.0, floor=-6.0):
    """Log-similarity maps; each landmark has several places with their heights."""
    cells = stride * (torch.arange(SHAPE[0] // stride) + 0.5) - 0.5
    maps = torch.full((len(places), len(cells), len(cells)), floor)
    for n, (own, tops) in enumerate(zip(places, heights, strict=True)):
        for (y, x), top in zip(own, tops, strict=True):
            squared = (cells[:, None] - y) ** 2 + (cells[None] - x) ** 2
            maps[n] = torch.maximum(maps[n], top - squared / (2 * width**2))
    return maps.float()


def hand():
    """A palm of five points and three fingers of four, 18 pixels apart."""
    palm = [(110.0, 30.0), (112.0, 60.0), (108.0, 92.0), (95.0, 40.0), (95.0, 80.0)]
    fingers = [(80.0 - 15 * j, 42.0 + 18 * f) for f in range(3) for j in range(4)]
    return np.array(palm + fingers)


def test_the_best_pose_is_the_one_that_was_drawn():
    points = hand()
    angle, scale = 0.2, 0.9
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    drawn = (points - 64) @ turn.T + 66
    maps = bumps(drawn[:, None], np.zeros((len(points), 1)))
    poses = plausible_poses(maps, points)
    assert poses.shape == (3, len(points), 2)
    assert np.abs(poses[0] - drawn).max() < 3


def test_poses_stay_within_the_allowed_turn():
    points = hand()
    upside_down = 128 - points
    maps = bumps(upside_down[:, None], np.zeros((len(points), 1)))
    for pose in plausible_poses(maps, points):
        base, tip = pose[3], pose[8]
        # The tip stays above the palm as on the template.
        assert tip[0] < base[0]


def test_one_landmark_fixes_no_pose():
    maps = bumps([[(40.0, 40.0)]], [[0.0]])
    assert plausible_poses(maps, np.array([[30.0, 30.0]])).size == 0


def test_a_whole_finger_does_not_settle_on_its_neighbour():
    points = hand()
    true = points + np.array([2.0, -3.0])
    places, heights = [], []
    for n, place in enumerate(true):
        is_finger = n >= 5
        twin = place + np.array([0.0, 18.0])
        # The neighbouring finger looks even a little better.
        places.append([place, twin] if is_finger else [place])
        heights.append([-0.6, 0.0] if is_finger else [0.0])
    maps = bumps(places, heights)
    found, _, _ = ShapeModel(points, PIXEL_SIZE, SHAPE).fit(maps, 2)
    assert np.abs(found.numpy() - true).max() < 2
