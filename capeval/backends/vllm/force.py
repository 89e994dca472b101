"""Makes the engine say given tokens, so that it tells their log-probabilities: a logits processor, vLLM's plug-in.

Log-probabilities are taken before processors act (`logprobs_mode="raw_logprobs"`, vLLM's default), so they are the
model's own. Loaded by name in the engine's process and its workers, and nowhere else.
"""

from __future__ import annotations

from typing import Any

from vllm.v1.sample.logits_processor import AdapterLogitsProcessor  # noqa: TID253 (a subclass needs it)

from capeval.backends.vllm.messages import FORCED


class Force(AdapterLogitsProcessor):  # type: ignore[misc]
    """Leaves one token possible at each step of the requests that say so."""

    def is_argmax_invariant(self) -> bool:
        """No: it decides the token."""
        return False

    def new_req_logits_processor(self, params: Any) -> Any:
        """None for requests that force nothing."""
        forced = (params.extra_args or {}).get(FORCED)
        if forced is None:
            return None

        def force(said: list[int], logits: Any) -> Any:
            token = forced[min(len(said), len(forced) - 1)]
            kept = logits[token].item()
            logits.fill_(float("-inf"))
            logits[token] = kept
            return logits

        return force
