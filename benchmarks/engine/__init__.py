"""capeval's engine beside lm-eval's: the same texts, checkpoint and threads, equal answers, ratios of time.

    python -m benchmarks.engine --quick           # minutes: the smallest model, few items, nothing kept
    make bench                                    # all of it; writes results.json and the table in benchmarks/README.md

    workloads     what is asked, as requests                      checkpoints  random models
    ours, theirs  a process for each round: load, warm up, then the clock (side: what they share)
    rounds        A B A B, with the peer's best batch size; every answer compared
    agree, ties   equal answers, or two logits that float32 can't tell apart
    distinct, limits, machine   what the work needs at least, and how fast this machine could do it
    whole, task_files           `capeval run` against `lm_eval run`, cold start to results
    table         JSON → Markdown

A side never sees the other, and the process that starts them holds no model.
"""
