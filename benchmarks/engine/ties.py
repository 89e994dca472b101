"""Two texts that part: is it where two logits are equal as far as float32 goes?

    python -m benchmarks.engine.ties CHECKPOINT PAIRS.json OUT.json

The prompt and the texts' common beginning are read by the plain model in float64. Where the texts part, the one must go
on with the most probable token and the other with the next, and their logits must be nearer to each other than `NEAR`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

NEAR = 1e-4
"""Difference of two logits: what two orders of float32 sums may turn around, as `agree.TOLERANCE`."""
_BROKEN = "�"
"""What the bytes of an unfinished character decode to."""

Step = tuple[int, int, float]
"""The most probable token, the next, and how far their logits are apart."""


def gap_where_they_part(
    step: Callable[[list[int]], Step], said: Callable[[list[int]], str], one: str, other: str, longest: int
) -> float | None:
    """Distance of the two largest logits where the texts part; None when the model explains no parting there.

    Args:
        step: Tokens so far → the two most probable next ones; called with ever longer rows.
        said: Tokens → their text.
        one: A text.
        other: Another.
        longest: Tokens to look at.
    """
    ids: list[int] = []
    seen, pending = "", NEAR
    for _ in range(longest):
        first, second, gap = step(ids)
        fits = {token: [_begins(said([*ids, token]), text) for text in (one, other)] for token in (first, second)}
        if all(fits[first]):
            ids.append(first)
        elif gap < NEAR and all(fits[second]):
            ids.append(second)
        elif gap < NEAR and sorted(fits.values()) == [[False, True], [True, False]]:
            return gap
        else:  # the parting may have begun inside a character, which no text shows before it is whole
            return pending if pending < NEAR else None
        shown = said(ids).rstrip(_BROKEN)
        seen, pending = shown, (NEAR if shown != seen else min(pending, gap))
    return None


def _begins(begin: str, text: str) -> bool:
    """Whether the text can go on from there, or ended (at a stop string) on the way."""
    begin = begin.rstrip(_BROKEN)
    return text.startswith(begin) or begin.startswith(text)


def measure(checkpoint: str, pairs: Sequence[dict[str, Any]]) -> list[float | None]:
    """For each {prompt, ours, theirs, longest} the gap, in float64."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float64).eval()

    def said(ids: list[int]) -> str:
        return str(tokenizer.decode(ids, skip_special_tokens=True))

    def gap_of(pair: dict[str, Any]) -> float | None:
        prompt = tokenizer.encode(pair["prompt"])
        cache, read = DynamicCache(), [0]

        def step(ids: list[int]) -> Step:
            fresh = (prompt + ids)[read[0] :]
            read[0] += len(fresh)
            with torch.inference_mode():
                logits = model(torch.tensor([fresh]), past_key_values=cache, logits_to_keep=1).logits[0, -1]
            (a, b), (first, second) = (found.tolist() for found in logits.topk(2))
            return first, second, a - b

        return gap_where_they_part(step, said, pair["ours"], pair["theirs"], pair["longest"])

    return [gap_of(pair) for pair in pairs]


def main() -> None:
    """Read the pairs, write the gaps."""
    checkpoint, pairs, out = sys.argv[1:]
    found = measure(checkpoint, json.loads(Path(pairs).read_text(encoding="utf-8")))
    Path(out).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
