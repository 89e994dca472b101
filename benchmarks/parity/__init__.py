"""Item by item against lm-eval: its own task files, a small model that knows half of the answers, both harnesses.

    CAPEVAL_DATA=/data python -m benchmarks.parity     # writes docs/parity.md, exits with 1 if anything differs

`tasks` says which files and what an answer of each looks like, `model` trains, `compare` runs both and looks at every
prompt, reply, log-probability, extraction and metric.
"""
