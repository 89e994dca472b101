"""Lets vLLM's second model runner, a GPU's default, compute on a CPU: Triton's interpreter runs its kernels' source.

Python reads this file at its start when its folder is in PYTHONPATH; only the engine's process is meant. It depends on
internals of Triton, and serves for one test.
"""

import os
import sys

if os.environ.get("TRITON_INTERPRET") and any(word.endswith("vllm.child") for word in sys.orig_argv):
    import triton.backends as known
    from triton.backends.compiler import GPUTarget
    from triton.backends.driver import DriverBase

    class Driver(DriverBase):
        """Of no device: what is interpreted needs none."""

        @staticmethod
        def is_active():
            return True

        def get_current_target(self):
            return GPUTarget("cpu", 0, 32)

        def get_active_torch_device(self):
            import torch

            return torch.device("cpu")

        def map_python_to_cpp_type(self, kind):
            return kind

        def get_benchmarker(self):
            return None

        def get_current_device(self):
            return 0

        def get_current_stream(self, device=None):
            return 0

    some = next(iter(known.backends.values()))
    known.backends.clear()
    known.backends["cpu"] = type(some)(some.compiler, Driver)
