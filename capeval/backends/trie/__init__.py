"""Prefix-tree evaluation through transformers' own models: what prompts share is computed once. See README.md."""
