"""An object with several frames: its verdict is that of all of them, its results show the worst."""

import numpy as np
import pytest

from tests.cli.conftest import bundle  # noqa: F401
from tests.imaging.dicom_files import write
from xiqa.service.rules import Model
from xiqa.service.work import child


@pytest.mark.parametrize(
    ("asked", "total", "assessed"), [({}, 5, 5), ({"frames": "every:2"}, 5, 3), ({"frames": "middle"}, 5, 1)]
)
def test_the_child_looks_at_every_frame(bundle, tmp_path, asked, total, assessed):  # noqa: F811
    pixels = np.random.default_rng(3).integers(0, 255, (5, 40, 50), dtype=np.uint8)
    path = write(tmp_path / "cine.dcm", pixels, kind="enhanced", WindowCenter=128, WindowWidth=256)
    model = Model(path=str(bundle), **asked).model_dump()
    assessment, image = child._load(model)(str(path))
    summary = assessment.series
    assert (summary.total, len(summary.places), len(summary.scores)) == (total, assessed, assessed)
    assert assessment.verdict == "reacquire"
    assert image.source.frame == summary.worst == assessment.source.frame
    assert summary.scores[summary.places.index(summary.worst)] == max(summary.scores)
    told = child._told(assessment, str(path))
    assert str(tmp_path) not in str(told)
    assert told["series"]["places"] == list(summary.places)
