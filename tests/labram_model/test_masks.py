"""Random masks: exact counts, only valid patches, decided by window, seed and step."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from labram_model.masks import random_mask


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 256), min_size=1, max_size=5),
    ratio=st.sampled_from([0.0, 0.25, 0.4, 0.5, 0.75, 1.0]),
    seed=st.integers(0, 2**63 - 1),
)
def test_each_sample_keeps_the_rounded_down_share(lengths: list[int], ratio: float, seed: int) -> None:
    valid = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    window = torch.arange(len(lengths))
    mask = random_mask(valid, ratio, window=window, seed=seed)
    assert torch.equal(mask, random_mask(valid, ratio, window=window, seed=seed))
    assert not torch.any(mask & ~valid)
    assert mask.sum(1).tolist() == [n - int(n * (1 - ratio)) for n in lengths]


def test_every_patch_is_masked_as_often_as_the_others() -> None:
    valid = torch.tensor([[True] * 10, [True] * 6 + [False] * 4])
    window = torch.tensor([3, 4])
    share = torch.stack([random_mask(valid, 0.5, window=window, seed=0, step=i) for i in range(4000)]).float().mean(0)
    torch.testing.assert_close(share, valid.float() / 2, rtol=0, atol=0.04)  # five standard errors


def test_samples_get_different_masks() -> None:
    masks = random_mask(torch.ones(64, 64, dtype=torch.bool), 0.5, window=torch.arange(64), seed=0)
    assert len({tuple(mask.tolist()) for mask in masks}) == 64


@pytest.mark.parametrize("ratio", [-0.1, 1.1])
def test_a_ratio_beyond_its_bounds_is_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match="mask ratio: expected 0 to 1"):
        random_mask(torch.ones(1, 4, dtype=torch.bool), ratio, window=torch.zeros(1, dtype=torch.int64), seed=0)


def test_a_window_has_its_mask_wherever_it_stands_and_however_it_is_padded() -> None:
    window, valid = torch.tensor([7, 2**31, 0]), torch.ones(3, 20, dtype=torch.bool)
    valid[1, 12:] = False
    mask = random_mask(valid, 0.5, window=window, seed=1, step=5)
    padded = torch.cat([valid, torch.zeros(3, 9, dtype=torch.bool)], dim=1)
    order = [2, 0, 1]
    assert torch.equal(random_mask(padded[order], 0.5, window=window[order], seed=1, step=5)[:, :20], mask[order])
    for others in ({"seed": 2, "step": 5}, {"seed": 1, "step": 6}):
        assert not torch.equal(random_mask(valid, 0.5, window=window, **others), mask)
