"""What a run's page shows of signals: patches beside their reconstructions, and what the most used codes stand for.

Shapes: E examples, N patches, S samples of a patch (200), F bins (101), T codes shown, M of a code's patches, K codes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from eeg_tokenizer.batches import MODEL_UNIT_UV, Batch
from eeg_tokenizer.checkpoint import write_whole
from eeg_tokenizer.inverse import signal_from_spectrum, spectrum_from_targets
from eeg_tokenizer.vqnsp import VQNSP

EXAMPLES_FILE = "examples.safetensors"
N_EXAMPLES = 6
N_CODES_SHOWN = 16
N_OF_A_CODE = 8


@torch.no_grad()
def save_examples(
    run: Path,
    batches: Iterable[Batch],
    *,
    codes_of: Callable[[Batch], Tensor],
    n_codes: int,
    tokenizer: VQNSP | None,
    held_out: bool,
) -> None:
    """Write what the page shows of some windows into the run.

    Args:
        run: the directory of the run.
        batches: the windows, on the device of the models.
        codes_of: gives the codes (B, N) of a batch, -1 where there is none.
        n_codes: K.
        tokenizer: reconstructs patches; without one only the codes are shown.
        held_out: whether the windows are of held-out subjects.
    """
    shown: dict[str, Tensor] = {"held_out": torch.tensor(held_out)}
    patches, codes, pairs = [], [], []
    if tokenizer is not None:
        tokenizer.eval()
    for batch in batches:
        targets = codes_of(batch)
        known = batch.valid & (targets >= 0)
        patches.append(_in_units_of_the_window(batch)[known].cpu())
        codes.append(targets[known].cpu())
        if tokenizer is not None:
            pairs += _one_of_each_window(tokenizer, batch)
    if pairs:
        step = max(1, len(pairs) // N_EXAMPLES)
        for name, values in zip(
            ("signal_uv", "reconstructed_uv"), zip(*pairs[::step][:N_EXAMPLES], strict=True), strict=True
        ):
            shown[name] = torch.stack(values)
    if sum(map(len, codes)):
        shown |= _most_used(torch.cat(patches), torch.cat(codes), n_codes)
    contiguous = {name: tensor.contiguous() for name, tensor in shown.items()}
    write_whole(run / EXAMPLES_FILE, safetensors.torch.save(contiguous))


def load_examples(run: Path) -> dict[str, Tensor]:
    """Return the tensors of `save_examples`; nothing where the run has none.

    Returns:
        `held_out` (); `signal_uv` and `reconstructed_uv` (E, S); `codes` (T,), `counts` (T,), `share` (T,),
        `waveforms` (T, S) and `spectra` (T, F): mean patch and mean amplitude of a code in units of the window's RMS;
        `patches` (T, M, S) some of its patches, NaN where there are fewer.

    Raises:
        ValueError: the file is damaged.
    """
    path = run / EXAMPLES_FILE
    if not path.is_file():
        return {}
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(path.read_bytes())
    except safetensors.SafetensorError as error:
        raise ValueError(f"Cannot read {path}: expected safetensors, found {error}.") from error
    return tensors


def _one_of_each_window(tokenizer: VQNSP, batch: Batch) -> list[tuple[Tensor, Tensor]]:
    """Return the middle patch (S,) of each window and its reconstruction, in µV."""
    predicted = tokenizer.reconstruct(batch).predicted
    pairs = []
    for row, valid in enumerate(batch.valid):
        own = batch.patches[row, valid].float()
        spectra = spectrum_from_targets(
            {name: values[row, valid].float() for name, values in predicted.items()}, own, tokenizer.config.targets
        )
        middle = len(own) // 2
        rebuilt = signal_from_spectrum(spectra[middle : middle + 1])[0]
        pairs.append((own[middle].cpu() * MODEL_UNIT_UV, rebuilt.cpu() * MODEL_UNIT_UV))
    return pairs


def _in_units_of_the_window(batch: Batch) -> Tensor:
    """Return the patches (B, N, S) divided by the RMS of their window, so that no loud recording outweighs others."""
    power = (batch.patches.square().mean(-1) * batch.valid).sum(1) / batch.valid.sum(1)
    scaled: Tensor = batch.patches / power.sqrt().clamp_min(1e-12)[:, None, None]
    return scaled


def _most_used(patches: Tensor, codes: Tensor, n_codes: int) -> dict[str, Tensor]:
    """Describe the commonest codes among patches (N, S) with codes (N,)."""
    counts = torch.bincount(codes, minlength=n_codes)
    most, top = counts.topk(min(N_CODES_SHOWN, int((counts > 0).sum())))
    own = [patches[codes == code] for code in top]
    few = torch.full((len(top), N_OF_A_CODE, patches.shape[1]), torch.nan)
    for row, of_code in enumerate(own):
        evenly = of_code[:: max(1, len(of_code) // N_OF_A_CODE)][:N_OF_A_CODE]
        few[row, : len(evenly)] = evenly
    return {
        "codes": top,
        "counts": most,
        "share": most / len(codes),
        "waveforms": torch.stack([of_code.mean(0) for of_code in own]),
        "spectra": torch.stack([torch.fft.rfft(of_code).abs().mean(0) for of_code in own]),
        "patches": few,
    }
