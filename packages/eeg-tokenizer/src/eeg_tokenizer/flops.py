"""How many floating-point operations a model takes, counted from its shape: products of matrices and convolutions.

A multiplication and an addition are two. What is done element by element is left out, as is usual for MFU (PaLM,
appendix B). Activations that are computed again count once: the work is that of the model, not of a setting.
"""

from __future__ import annotations

from eeg_tokenizer.backbone import BackboneConfig
from eeg_tokenizer.temporal import STEPS

BACKWARD = 2  # times the forward pass: by the inputs, and by the weights
KERNELS = (15, 3, 3)


def embed_flops(config: BackboneConfig, n_windows: int, n_patches: int) -> float:
    """Return the operations of embedding the patches of B windows of N patches, padding included."""
    if config.vector_width is not None:
        return 2.0 * n_windows * n_patches * config.vector_width * config.width
    filters = config.temporal_channels
    inputs = (1, filters, filters)
    of_patch = sum(2.0 * STEPS * filters * n * kernel for n, kernel in zip(inputs, KERNELS, strict=True))
    return n_windows * n_patches * of_patch


def encode_flops(config: BackboneConfig, n_windows: int, n_patches: int) -> float:
    """Return the operations of the transformer blocks over B windows of N patches and cls."""
    n_tokens = n_patches + 1
    attention = 8.0 * config.width**2 + 4.0 * n_tokens * config.width
    return config.layers * (n_windows * n_tokens * attention + mlp_flops(config, n_windows, n_patches))


def mlp_flops(config: BackboneConfig, n_windows: int, n_patches: int) -> float:
    """Return the operations of the MLP of one block over B windows of N patches and cls."""
    return 4.0 * n_windows * (n_patches + 1) * config.width * config.mlp_width


def backbone_flops(config: BackboneConfig, n_windows: int, n_patches: int) -> float:
    """Return the operations of a forward pass of a backbone."""
    return embed_flops(config, n_windows, n_patches) + encode_flops(config, n_windows, n_patches)
