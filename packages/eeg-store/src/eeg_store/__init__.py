"""The patch store: contract version 1, its channel vocabulary, writer and reader."""
