import io

import numpy as np
from PIL import Image as Pillow

from xiqa.report.encoding import fitted, jpeg


def size_of(content):
    return Pillow.open(io.BytesIO(content)).size


def test_a_picture_shrinks_until_it_fits():
    rng = np.random.default_rng(0)
    content = jpeg(Pillow.fromarray(rng.integers(0, 255, (800, 1200), dtype=np.uint8)))
    assert fitted(content, 10) is None
    assert fitted(content, len(content)) == content
    widths = []
    for budget in (300_000, 100_000, 20_000):
        smaller = fitted(content, budget)
        assert len(smaller) <= budget
        width, height = size_of(smaller)
        assert abs(width / height - 1.5) < 0.02
        widths.append(width)
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > widths[-1] >= 128


def test_it_is_still_the_same_picture():
    ramp = np.add.outer(np.arange(600) * 0.2, np.arange(900) * 0.1).clip(0, 255).astype(np.uint8)
    noise = np.random.default_rng(1).integers(0, 20, ramp.shape, dtype=np.uint8)
    content = jpeg(Pillow.fromarray(ramp + noise))
    smaller = Pillow.open(io.BytesIO(fitted(content, len(content) // 6)))
    assert smaller.mode == "L"
    expected = (
        np.asarray(Pillow.fromarray(ramp).resize(smaller.size, Pillow.Resampling.BOX), dtype=float) + 9.5
    )
    assert np.abs(np.asarray(smaller, dtype=float) - expected).mean() < 3
