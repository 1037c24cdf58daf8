"""Judgement on a real scan."""

from __future__ import annotations

import numpy as np
import pytest

from training_cases import tube_scan
from vesselseg.errors import VesselSegError
from vesselseg.geometry import Geometry
from vesselseg.model_checks.rough_reference import judge_on_real_scan
from vesselseg.volume import Volume


def test_judgement_of_a_real_scan() -> None:
    z, y, x = np.ogrid[:60, :90, :80]
    geometry = Geometry((80, 90, 60), (1.2, 1.2, 1.2))
    brain = ((x - 40) / 32) ** 2 + ((y - 45) / 38) ** 2 + ((z - 28) / 24) ** 2 < 1
    tube = (y - 45) ** 2 + (z - 20) ** 2 + 0 * x <= 3
    scan = Volume((100.0 * brain + 100 * tube).astype(np.float32), geometry)
    mask, reference = scan.with_array(brain.astype(np.uint8)), scan.with_array((tube & (x > 0)).astype(np.uint8))
    perfect = judge_on_real_scan(scan, reference, reference, mask)
    assert perfect["centreline_found"] == 1
    assert perfect["dice"] == 1
    assert perfect["pieces"] == 1
    assert perfect["stands_out"] > 0.95
    in_other_units = scan.with_array(scan.array / 10_000)
    assert judge_on_real_scan(in_other_units, reference, reference, mask) == pytest.approx(perfect, nan_ok=True)
    half = reference.with_array(reference.array * (x < 40).astype(np.uint8))
    assert judge_on_real_scan(scan, half, reference, mask)["centreline_found"] == pytest.approx(0.5, abs=0.1)
    with pytest.raises(VesselSegError):
        judge_on_real_scan(scan, tube_scan()[1], reference, mask)
