"""Damaged images of all formats: refused in one sentence, or read as others do.

More of them, of another seed:

    ONESHOT_LMK_FUZZ=2000 ONESHOT_LMK_FUZZ_SEED=7 pytest tests/imaging/test_fuzz_images.py
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from fuzz_images import run
from image_seeds import read_otherwise, seeds

from napari_oneshot_lmk.imaging.reader import read_image

COUNT = int(os.environ.get("ONESHOT_LMK_FUZZ", "168"))
SEED = int(os.environ.get("ONESHOT_LMK_FUZZ_SEED", "0"))


def test_the_other_readers_agree_about_the_valid_files(tmp_path):
    """Else the comparison would compare nothing."""
    for name, path in seeds(tmp_path / "originals").items():
        index = 0 if name in ("pages.tif", "volume.mha", "enhanced.dcm") else None
        ours = read_image(path, slice_index=index).pixels
        theirs, tolerance = read_otherwise(path)
        np.testing.assert_allclose(ours, theirs, atol=tolerance, err_msg=name)


@pytest.mark.timeout(1800)
def test_mutated_images_are_refused_or_read_rightly(tmp_path):
    report = run(tmp_path, COUNT, SEED)
    assert not report.troubles, "\n".join(report.troubles)
    # All of it would be in vain if nothing were refused, read or compared.
    assert report.refused > COUNT // 4
    assert report.compared > COUNT // 5
