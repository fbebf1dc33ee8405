"""LaBraM: masked pre-training, fine-tuning, evaluation and embeddings."""
