from __future__ import annotations

import numpy as np
import pytest
import torch
from eeg_tokenizer.batches import Batch, Sample, collate
from hypothesis import given, settings
from hypothesis import strategies as st


def sample(n_channels: int, n_seconds: int, *, seed: int = 0, codes: bool = False) -> Sample:
    rng = np.random.default_rng(seed)
    return Sample(
        signal=rng.integers(-32768, 32768, (n_channels, n_seconds, 200)).astype(np.int16),
        scale=0.001,
        channel=rng.permutation(128)[:n_channels].astype(np.int64) + 1,
        codes=rng.integers(0, 8192, (n_channels, n_seconds)).astype(np.int32) if codes else None,
        window=seed,
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 20), st.integers(1, 12), st.booleans()), min_size=1, max_size=6))
def test_every_patch_stands_at_its_channel_and_second_and_all_else_is_padding(
    shapes: list[tuple[int, int, bool]],
) -> None:
    samples = [sample(c, a, seed=i, codes=codes) for i, (c, a, codes) in enumerate(shapes)]
    batch = collate(samples)
    longest = max(c * a for c, a, _ in shapes)
    assert batch.patches.shape == (len(shapes), longest, 200)
    assert batch.patches.dtype == torch.float32
    assert (batch.codes is not None) == any(codes for _, _, codes in shapes)
    for row, (one, (n_channels, n_seconds, has_codes)) in enumerate(zip(samples, shapes, strict=True)):
        n = n_channels * n_seconds
        for c in range(n_channels):
            for a in range(n_seconds):
                patch = c * n_seconds + a
                microvolts = one.signal[c, a].astype(np.float64) * 0.1
                np.testing.assert_allclose(batch.patches[row, patch].numpy(), microvolts / 100, rtol=2e-7)
                assert batch.channel[row, patch] == one.channel[c]
                assert batch.time[row, patch] == a
                if batch.codes is not None:
                    assert batch.codes[row, patch] == (one.codes[c, a] if one.codes is not None else -1)
        assert batch.valid[row].tolist() == [True] * n + [False] * (longest - n)
        assert batch.window[row] == row
        for padding in (batch.patches[row, n:], batch.channel[row, n:], batch.time[row, n:]):
            assert not padding.any()
        if batch.codes is not None:
            assert (batch.codes[row, n:] == -1).all()
        assert has_codes == (one.codes is not None)


def test_microvolts_as_float_enter_on_the_same_scale() -> None:
    one = Sample(np.full((1, 1, 200), 50.0, np.float32), 0.01, np.array([1]))
    assert collate([one]).patches.tolist() == [[[0.5] * 200]]


def test_a_batch_keeps_its_parts_on_another_device() -> None:
    batch = collate([sample(2, 3, codes=True)]).to("meta")
    assert isinstance(batch, Batch)
    assert len(batch) == 1
    assert {batch.patches.device.type, batch.valid.device.type, batch.codes.device.type} == {"meta"}  # type: ignore[union-attr]  # codes were given


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([], "at least one window"),
        ([Sample(np.zeros((2, 3, 100), np.int16), 1.0, np.array([1, 2]))], r"expected \(C, A, 200\)"),
        ([Sample(np.zeros((2, 0, 200), np.int16), 1.0, np.array([1, 2]))], r"expected \(C, A, 200\)"),
        ([Sample(np.zeros((2, 17, 200), np.int16), 1.0, np.array([1, 2]))], "at most 16 s, found 17 s"),
        ([Sample(np.zeros((2, 3, 200), np.int16), 1.0, np.array([1]))], "wrong channel slots: expected 2"),
        ([Sample(np.zeros((1, 3, 200), np.int16), 1.0, np.array([1]), np.zeros((3, 1), np.int32))], "wrong codes"),
    ],
)
def test_wrong_windows_are_refused(samples: list[Sample], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        collate(samples)
