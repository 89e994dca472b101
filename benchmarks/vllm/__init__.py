"""capeval's `vllm` backend beside lm-eval's class of the same name, on vLLM's CPU build: `python -m benchmarks.vllm`.

    make vllm-env
    CAPEVAL_DATA=/data PYTHONPATH=. ENV/bin/python -m benchmarks.vllm

Both sides get the same checkpoint, texts, engine settings and one thread; each is a process of its own that loads and
warms up before the clock; rounds go A B A B, every answer of every round is compared, and a difference stops all. The
processor seconds are those of both of capeval's processes.
"""
