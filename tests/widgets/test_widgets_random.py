"""Random actions in a real window: dock, canvas, table, autosave and files agree.

A failure prints the seed and the actions that lead to it. To see it again::

    ONESHOT_LMK_REPLAY=actions.txt python -m pytest tests/widgets/test_widgets_random.py

where the file has the printed lines. Other variables: ``ONESHOT_LMK_ACTIONS=2000``
sets how many actions are done in all, ``ONESHOT_LMK_FIRST_SEED`` where seeds begin,
``ONESHOT_LMK_SHRINK=1`` leaves out actions that do not matter before it prints, and
``ONESHOT_LMK_TRACE`` names a file in which each action is noted before it is done.
"""

import os
import random
import traceback
from collections.abc import Callable, Iterator
from itertools import count as count_from
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtWidgets import QApplication, QFileDialog
from random_dock_actions import WEIGHTS, Action, World
from random_dock_checks import compare

SEEDS = 3
WANTED = int(os.environ.get("ONESHOT_LMK_ACTIONS", "0"))
ACTIONS_A_WINDOW = 120 if WANTED else 50
OPENING: tuple[Action, ...] = (("open", 0, 0, 0), ("list", 0, 0, 0), ("start", 0, 0, 0))


def random_actions(seed: int, count: int) -> Iterator[Action]:
    """Yield actions; the first ones make that there is something to work on."""
    dice = random.Random(seed)
    names, weights = list(WEIGHTS), list(WEIGHTS.values())
    yield from OPENING
    for _ in range(count - len(OPENING)):
        (name,) = dice.choices(names, weights)
        yield name, dice.randrange(10_000), dice.randrange(10_000), dice.randrange(99)


def _trace(action: Action) -> None:
    """Note an action before it is done: a crash in the graphics ends the process."""
    trace = os.environ.get("ONESHOT_LMK_TRACE")
    if trace:
        with Path(trace).open("a") as file:
            file.write(" ".join(map(str, action)) + "\n")


class Play:
    """Plays actions in a fresh window, up to the first disagreement."""

    def __init__(self, make_world: Callable[[], World]) -> None:
        self._make_world = make_world
        self.done: list[Action] = []
        self.problem = ""

    def run(self, actions: Any, count: int | None = None) -> bool:
        """Do the actions that make sense; returns whether all agreed."""
        self.done, self.problem = [], ""
        world = self._make_world()
        for action in actions:
            _trace(action)
            try:
                if world.do(action):
                    self.done.append(action)
                    compare(world)
                if count is not None and len(self.done) >= count:
                    break
            except Exception as error:
                if not self.done or self.done[-1] != action:
                    self.done.append(action)
                self.problem = str(error).split("\n")[0] or repr(error)
                if not isinstance(error, AssertionError) or not str(error):
                    self.problem = traceback.format_exc()
                break
        return not self.problem


def shrunk(play: Play, actions: list[Action]) -> list[Action]:
    """Leave out actions as long as the rest still disagrees."""
    problem, size = play.problem, max(1, len(actions) // 2)
    while size:
        start = 0
        while start < len(actions) - 1:
            if play.run(actions[:start] + actions[start + size :]):
                start += size
            else:
                actions, problem = list(play.done), play.problem
        size //= 2
    play.problem = problem
    return actions


@pytest.fixture
def play(
    make_napari_viewer_proxy: Any, plugin: Any, qtbot: Any, tmp_path: Path, monkeypatch: Any
) -> Play:
    """A player; each window has folders and files of its own."""
    answers: list[str] = []
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (answers[-1], "Table (*.csv)"))
    viewers: list[Any] = []
    windows = count_from(1)

    def make_world() -> World:
        for viewer in viewers:
            viewer.close()
            QApplication.processEvents()
        folder = tmp_path / f"window {next(windows)}"
        folder.mkdir()
        viewers[:] = [*viewers, make_napari_viewer_proxy(show=True)][-1:]
        monkeypatch.setenv("XDG_DATA_HOME", str(folder / "data"))
        return World(viewers[-1], qtbot, folder, lambda p: answers.append(str(p)))

    return Play(make_world)


def report(play: Play, seed: object, actions: list[Action]) -> str:
    """Say what disagrees, and print the actions so that they can be played again."""
    lines = "\n".join(" ".join(map(str, action)) for action in actions)
    return f"seed {seed}, action {len(actions)}: {play.problem}\n{lines}"


WINDOWS = -(-WANTED // ACTIONS_A_WINDOW) or SEEDS


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(WINDOWS))
def test_dock_canvas_table_and_files_agree(play, seed):
    seed += int(os.environ.get("ONESHOT_LMK_FIRST_SEED", "0"))
    endless = random_actions(seed, 10 * ACTIONS_A_WINDOW)
    if play.run(endless, ACTIONS_A_WINDOW):
        assert len(play.done) == ACTIONS_A_WINDOW
        return
    actions = play.done
    if os.environ.get("ONESHOT_LMK_SHRINK"):
        actions = shrunk(play, actions)
    pytest.fail(report(play, seed, actions), pytrace=False)


@pytest.mark.skipif("ONESHOT_LMK_REPLAY" not in os.environ, reason="nothing to replay")
def test_replay(play):
    """Play actions of a file again."""
    lines = Path(os.environ["ONESHOT_LMK_REPLAY"]).read_text().splitlines()
    actions = [line.split() for line in lines if line.strip()]
    if not play.run([(name, *map(int, numbers)) for name, *numbers in actions]):
        pytest.fail(report(play, "replay", play.done), pytrace=False)
