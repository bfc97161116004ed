"""The reference backend: causal language models of the transformers library."""
