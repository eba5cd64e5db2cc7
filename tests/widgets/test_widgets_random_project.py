"""Random actions on a project under review: window, canvas, list and disk agree.

A failure prints the seed and the actions that lead to it. ``ONESHOT_LMK_ACTIONS=3000`` sets how
many actions are done in all, ``ONESHOT_LMK_FIRST_SEED`` where seeds begin,
``ONESHOT_LMK_TRACE`` names a file in which each action is noted before it is done. To see a
failure again, put the printed lines into a file and name it in ``ONESHOT_LMK_REPLAY``::

    ONESHOT_LMK_ACTIONS=3000 python -m pytest tests/widgets/test_widgets_random_project.py
"""

import os
import random
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from random_project_checks import compare
from random_project_window import WEIGHTS, Action, Review

WANTED = int(os.environ.get("ONESHOT_LMK_ACTIONS", "0"))
ACTIONS_A_WINDOW = 250 if WANTED else 60
WINDOWS = -(-WANTED // ACTIONS_A_WINDOW) or 1
OPENING: tuple[Action, ...] = (("detect_new", 4, 0), ("row", 1, 0))


def random_actions(seed: int) -> Iterator[Action]:
    """Yield actions without end; after the first ones there is something to review."""
    dice = random.Random(seed)
    names, weights = list(WEIGHTS), list(WEIGHTS.values())
    yield from OPENING
    while True:
        (name,) = dice.choices(names, weights)
        yield name, dice.randrange(10_000), dice.randrange(10_000)


def replayed(path: Path) -> list[Action]:
    """Read printed actions."""
    lines = [line.split() for line in path.read_text().splitlines() if line.strip()]
    return [(name, int(one), int(other)) for name, one, other in lines]


def play(world: Review, actions: Any, count: int) -> str:
    """Do actions up to the first disagreement; returns what is wrong, with the actions."""
    done: list[Action] = []
    for action in actions:
        done.append(action)
        trace = os.environ.get("ONESHOT_LMK_TRACE")
        if trace:
            with Path(trace).open("a") as file:
                file.write(" ".join(map(str, action)) + "\n")
        try:
            if world.do(action):
                compare(world)
            else:
                done.pop()
        except Exception as error:
            known = isinstance(error, AssertionError) and str(error)
            problem = str(error) if known else traceback.format_exc()
            lines = "\n".join(" ".join(map(str, each)) for each in done)
            return f"action {len(done)}: {problem}\n{lines}"
        if len(done) >= count:
            return ""
    return ""


@pytest.fixture
def world(
    make_napari_viewer_proxy: Any, plugin: Any, qtbot: Any, tmp_path: Path, monkeypatch: Any
) -> Any:
    world = Review(make_napari_viewer_proxy(show=True), qtbot, tmp_path)
    world.answer_dialogs(monkeypatch)
    yield world
    if world.images is not None:
        world.close()


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(WINDOWS))
def test_window_canvas_list_and_disk_agree(world, seed):
    seed += int(os.environ.get("ONESHOT_LMK_FIRST_SEED", "0"))
    path = os.environ.get("ONESHOT_LMK_REPLAY")
    actions = replayed(Path(path)) if path else random_actions(seed)
    problem = play(world, actions, ACTIONS_A_WINDOW)
    if problem:
        pytest.fail(f"seed {seed}, {problem}", pytrace=False)
