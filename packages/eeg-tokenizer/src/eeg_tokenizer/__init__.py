"""Batches of EEG patches with coordinates, the backbone, and the VQ-NSP tokenizer."""
