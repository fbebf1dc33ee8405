"""The tokenizer: padding, gradients, learning, configuration."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from eeg_tokenizer.batches import Batch, Sample, collate
from eeg_tokenizer.objective import start_codebook
from eeg_tokenizer.official import OfficialStateError
from eeg_tokenizer.vqnsp import TOKENIZER_SIZES, VQNSP, VQNSPConfig, tokenizer_config
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

SMALL = tokenizer_config(width=100, encoder_layers=2, decoder_layers=1, heads=5, n_codes=32, code_width=8)


def _windows(shapes: list[tuple[int, int]], seed: int) -> list[Sample]:
    rng = np.random.default_rng(seed)
    return [
        Sample(
            (rng.uniform(0.05, 2) * rng.standard_normal((n_channels, n_seconds, 200))).astype(np.float32),
            1.0,
            1 + rng.permutation(128)[:n_channels],
        )
        for n_channels, n_seconds in shapes
    ]


def _started(config: VQNSPConfig = SMALL, seed: int = 0) -> VQNSP:
    torch.manual_seed(seed)
    model = VQNSP(config)
    start_codebook(model, [collate(_windows([(8, 4), (3, 9)], seed))], seed)
    return model.eval()


def _learn(model: VQNSP, units: Tensor, codes: Tensor) -> None:
    model.quantizer.learn(units[codes >= 0], codes[codes >= 0])


MODEL = _started()


@settings(max_examples=20, deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 6)), min_size=2, max_size=4),
    seed=st.integers(0, 2**32 - 1),
)
@torch.no_grad()
def test_padding_changes_nothing(shapes: list[tuple[int, int]], seed: int) -> None:
    windows = _windows(shapes, seed)
    mixed = collate(windows)
    valid = mixed.valid
    together = MODEL(mixed)
    quantized = MODEL.quantize(mixed, valid)
    decoded = MODEL.decode(quantized.vectors, mixed, valid)
    sums = dict.fromkeys(together.parts, 0.0)
    for row, window in enumerate(windows):
        batch = collate([window])
        n = batch.valid.shape[1]
        alone = MODEL(batch)
        alone_quantized = MODEL.quantize(batch, None)
        alone_decoded = MODEL.decode(alone_quantized.vectors, batch, None)
        assert torch.equal(together.codes[row, :n], alone.codes[0])
        assert torch.all(together.codes[row, n:] == -1)
        torch.testing.assert_close(quantized.vectors[row, :n], alone_quantized.vectors[0], rtol=0, atol=1e-5)
        for name, target in alone_decoded.items():
            torch.testing.assert_close(decoded[name][row, :n], target[0], rtol=0, atol=1e-5)
        for name, part in alone.parts.items():
            sums[name] += n * part.item()
    for name, part in together.parts.items():  # every valid patch weighs the same
        assert part.item() == pytest.approx(sums[name] / int(valid.sum()), rel=1e-5)


def test_the_codebook_learns_the_same_from_a_padded_batch() -> None:
    windows = _windows([(2, 3), (1, 1), (5, 2)], seed=3)
    padded, apart = _started().train(), _started().train()
    out = padded(collate(windows))
    _learn(padded, out.units, out.codes)
    features = [apart.to_code(apart.encoder(b.patches, b.channel, b.time, None)[:, 1:]) for b in map(_one, windows)]
    quantized = apart.quantizer(torch.cat(features, dim=1), None)
    _learn(apart, quantized.units, quantized.codes)
    torch.testing.assert_close(padded.quantizer.codebook, apart.quantizer.codebook, rtol=0, atol=1e-6)
    torch.testing.assert_close(padded.quantizer.usage, apart.quantizer.usage)


def _one(window: Sample) -> Batch:
    return collate([window])


def test_the_loss_is_the_sum_of_its_parts() -> None:
    out = MODEL(collate(_windows([(4, 3)], seed=0)))
    assert out.parts.keys() == {"commitment", "amplitude", "phase"}
    assert out.loss.item() == pytest.approx(sum(part.item() for part in out.parts.values()))


@torch.no_grad()
def test_encode_gives_the_codes_of_the_forward_pass_and_learns_nothing() -> None:
    model = _started().train()
    batch = collate(_windows([(4, 3), (2, 2)], seed=5))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    codes = model.encode(batch)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert codes.dtype == torch.int64
    assert torch.equal(codes, model(batch).codes)


def test_every_weight_gets_a_gradient_and_the_encoder_one_of_the_reconstruction() -> None:
    model = _started().train()
    batch = collate(_windows([(4, 3), (2, 2)], seed=5))
    parameters = dict(model.named_parameters())
    gradients = torch.autograd.grad(model(batch).loss, list(parameters.values()))
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    unused = {name for name, gradient in zip(parameters, gradients, strict=True) if not gradient.any()}
    assert not unused

    decoded = model.decode(model.quantize(batch, None).vectors, batch, None)
    (gradient,) = torch.autograd.grad(decoded["phase"].square().sum(), model.encoder.cls_token)
    assert gradient.any()  # through the codes, by the straight-through estimator


def test_a_few_steps_lower_the_loss() -> None:
    torch.manual_seed(0)
    model = VQNSP(SMALL).train()
    batch = collate(_windows([(4, 4), (2, 6), (1, 1)], seed=0))
    start_codebook(model, [batch], seed=0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(40):
        out = model(batch)
        optimizer.zero_grad()
        torch.autograd.backward(out.loss)
        optimizer.step()
        _learn(model, out.units, out.codes)
        losses.append(out.loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_configuration_survives_json() -> None:
    for config in TOKENIZER_SIZES.values():
        assert VQNSPConfig.from_dict(json.loads(json.dumps(asdict(config)))) == config


def test_parameters_of_the_base_tokenizer() -> None:
    """8,579,408 in the official code, which counts the codebook and two tensors beside it that nothing reads."""
    with torch.device("meta"):
        model = VQNSP(TOKENIZER_SIZES["base"])
    learned = sum(parameter.numel() for parameter in model.parameters())
    codebook, unread = 8192 * 64, 8192 * 64 + 8192
    assert model.quantizer.codebook.numel() == codebook
    assert learned + codebook + unread == 8_579_408
    official = model.to_official()
    assert sum(official[name].numel() for name in official) == 8_579_408 + 8192 + 1  # and two buffers


def _official(heads: int = 4, width: int = 200) -> tuple[VQNSP, dict[str, Tensor]]:
    config = tokenizer_config(width=width, encoder_layers=3, decoder_layers=2, heads=heads, n_codes=16, code_width=4)
    model = _started(config)
    return model, model.to_official()


@torch.no_grad()
def test_official_states_of_other_shapes() -> None:
    model, state = _official()
    loaded = VQNSP.from_official(state, heads=4).eval()
    batch = collate(_windows([(3, 2)], seed=1))
    assert loaded.config == model.config
    assert torch.equal(loaded(batch).loss, model(batch).loss)
    assert VQNSP.from_official(state).config.encoder.heads == 10  # 20 wide, unless said otherwise


def test_what_is_wrong_with_an_official_state_is_listed() -> None:
    _, state = _official()
    state["encoder.extra"] = torch.zeros(1)
    state["decoder.pos_embed"] = torch.zeros(1, 3, 200)
    del state["decode_task_layer.0.bias"]
    with pytest.raises(OfficialStateError) as error:
        VQNSP.from_official(state)
    assert "missing decode_task_layer.0.bias" in str(error.value)
    assert "unexpected encoder.extra" in str(error.value)


def test_a_wrong_shape_is_an_error() -> None:
    _, state = _official()
    state["decode_task_layer.2.weight"] = torch.zeros(100, 200)
    with pytest.raises(OfficialStateError, match=r"layer.2.weight: expected \(200, 200\), found \(100, 200\)"):
        VQNSP.from_official(state)


def test_a_state_of_another_kind_is_an_error() -> None:
    with pytest.raises(OfficialStateError, match=r"quantize\.embedding\.weight, found none"):
        VQNSP.from_official({"student.cls_token": torch.zeros(1, 1, 200)})


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="divisor"):
        VQNSP(replace(SMALL, encoder=replace(SMALL.encoder, heads=3)))
