"""On real films, exported maps and probabilities are PyTorch's, whatever runs them."""

import pytest
from benchmarks.export_equality import deviations, films, methods

from xiqa.models import load_model


@pytest.mark.long
@pytest.mark.realdata
@pytest.mark.timeout(7200)
def test_all_methods_on_all_validation_films(real_films, tmp_path):
    *_, largest = deviations(load_model(), films(real_films, None), methods(), tmp_path / "all.onnx")
    for engine, worst in largest.items():
        print(engine, worst)
        assert worst.pop("probability") < 1e-4
        assert worst.pop("distance") < 1e-3
        assert max(worst.values()) < 1e-2
