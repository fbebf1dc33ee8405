"""Medians and quantiles against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
from eeg_ingest.quantiles import median, quantiles


@pytest.mark.parametrize("n_values", [1, 2, 3, 4, 63, 64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_they_are_those_of_numpy(n_values: int, dtype: type[np.floating]) -> None:
    values = np.random.default_rng(n_values).standard_normal((5, n_values)).astype(dtype)
    np.testing.assert_array_equal(median(values), np.median(values, axis=1))
    np.testing.assert_array_equal(median(values.T, axis=0), np.median(values, axis=1))
    shares = (0.0, 0.25, 0.75, 1.0)
    found = quantiles(values, shares)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, np.quantile(values, shares, axis=1).T, rtol=1e-6, atol=1e-6)
