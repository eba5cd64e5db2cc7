"""What a user does in the window, at random; each action tells the oracle of it.

An action is a name and three numbers, so that a list of them can be printed, cut
short and played again: what a number means depends on what is open at the time. One
that makes no sense then is left out.
"""

from random_dock_images import ImageActions
from random_dock_results import ResultActions
from random_dock_window import Action as Action


class World(ImageActions, ResultActions):
    """A window in which all actions can be done."""


_TABLE = """
open 6, remove_image 2, remove_both 1, remove_landmarks 2, remove_foreign 1,
drop_removed 1, rename 2, combo 4, select 5, select_several 2, eye 4, only_this 2,
reorder 2, slice 3, spacing 2, list 3, start 6, button 6, key 6, delete_key 3, paste 2,
row 4, click 12, drag 9, pan 2, mode 3, program 4, template 3, load_template 1,
detect_here 5, detect_all 2, reset 4, detect_button 4, foreign 1, adopt 3, offer 3,
save_all 2, save_this 2, open_found 2
"""
WEIGHTS = {name: int(weight) for name, weight in map(str.split, _TABLE.split(","))}
"""How often each action is tried."""
