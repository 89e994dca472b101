"""vLLM: one warm engine in a process of its own, prefixes read from its cache. begin at README.md."""
