"""The mean service time, from which a rate is chosen."""

from __future__ import annotations

from statistics import fmean

import pytest

from collagebench.engine.durations import service
from collagebench.stragglers.model import open_stragglers
from collagebench.stragglers.service import MODES, Mode, service_time

COMPUTE = 0.08


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["lognormal", "collage-trace", "shifted-exponential", "collage-machines"])
def test_the_mean_service_is_that_of_many_services(name: str, mode: Mode) -> None:
    """In every mode the mean is within 2 % of a sample's, even if inference often takes longer than the draw."""
    model = open_stragglers(name, 0, 10, 1.0, {"straggler_mode": mode})
    mean, _ = service(model, COMPUTE, 10)
    places = [(run, worker, i, 0, 0.0) for run in range(2000, 4500) for worker in range(10) for i in range(2)]
    assert mean == pytest.approx(fmean(service_time(mode, COMPUTE, model.draw(*place)) for place in places), rel=0.02)
