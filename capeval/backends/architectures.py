"""Decoder-only and encoder-decoder models: where they differ in being asked, and nothing else.

    capeval run --backend hf --model ./flan-t5-small --suite smoke

A decoder-only model reads prompt and answer as one row of tokens. An encoder-decoder (T5, BART) reads the prompt with
its encoder, in both directions, and writes the answer with its decoder, which begins from a token of its own.
`docs/encoder-decoder.md` says what follows from that.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from capeval.errors import BadFileError


class Architecture(Protocol):
    """What the rules of scoring and generation need to know of a model."""

    joined: ClassVar[bool]
    """Whether prompt and continuation are one text to the tokenizer; else each is encoded by itself."""

    left: ClassVar[bool]
    """Whether prompts are padded on the left, so that answers follow them; on the right they keep their positions."""

    @property
    def reach(self) -> int:
        """Tokens of an answer that the model has positions for."""
        ...

    def room(self, window: int, answer: int) -> int:
        """Tokens that a prompt may have before an answer of that length; 0 or less: it does not fit at all."""
        ...

    def begin(self, width: int) -> int:
        """Column of `generate`'s output where answers begin, when the padded prompts were `width` wide."""
        ...

    def read(self, context: list[int], target: list[int], window: int) -> tuple[tuple[int, ...], int]:
        """(what is read before the target's last token is predicted, tokens cut on the left)."""
        ...

    def logits(
        self, model: Any, inputs: Sequence[tuple[int, ...]], targets: Sequence[list[int]], pad: int
    ) -> list[Any]:
        """For each part the logits of its target, (tokens, vocabulary); equal inputs are read once."""
        ...


@dataclass(frozen=True, slots=True)
class DecoderOnly:
    """Llama, Qwen, GPT …: see `Architecture`."""

    reach: int
    joined: ClassVar[bool] = True
    left: ClassVar[bool] = True

    def room(self, window: int, answer: int) -> int:
        """Prompt and answer share the window."""
        return window - answer

    def begin(self, width: int) -> int:
        """The output repeats the prompts."""
        return width

    def read(self, context: list[int], target: list[int], window: int) -> tuple[tuple[int, ...], int]:
        """Prompt and target in a row; the last token is only predicted, never read."""
        ids = context + target
        cut = max(0, len(ids) - (window + 1))
        return tuple(ids[cut:-1]), cut

    def logits(
        self, model: Any, inputs: Sequence[tuple[int, ...]], targets: Sequence[list[int]], pad: int
    ) -> list[Any]:
        """Choices of one token differ in what is predicted only: they share a row."""
        first = min(len(ids) - len(target) for ids, target in zip(inputs, targets, strict=True))
        rows = {ids: row for row, ids in enumerate(dict.fromkeys(inputs))}
        # causal attention: what is padded on the right changes nothing on its left, so no mask is needed
        found = _causal(model, padded(list(rows), pad, model.device)[0], first)
        ends = [len(ids) - first for ids in inputs]
        return [
            found[rows[ids], end - len(target) : end] for ids, target, end in zip(inputs, targets, ends, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class EncoderDecoder:
    """T5, BART …: see `Architecture`."""

    reach: int
    start: int
    """Token that the decoder begins from."""
    joined: ClassVar[bool] = False
    left: ClassVar[bool] = False

    def room(self, window: int, answer: int) -> int:
        """The whole window: the answer stands in the decoder."""
        return window if answer <= self.reach else 0

    def begin(self, width: int) -> int:
        """The output is the decoder's: its start token, then the answer."""
        return 1

    def read(self, context: list[int], target: list[int], window: int) -> tuple[tuple[int, ...], int]:
        """The prompt alone."""
        return tuple(context[-window:]), max(0, len(context) - window)

    def logits(
        self, model: Any, inputs: Sequence[tuple[int, ...]], targets: Sequence[list[int]], pad: int
    ) -> list[Any]:
        """The choices of an item share the encoder's pass; the encoder sees both ways, so padding is masked."""
        import torch
        from transformers.modeling_outputs import BaseModelOutput

        rows = {ids: row for row, ids in enumerate(dict.fromkeys(inputs))}
        prompts, mask = padded(list(rows), pad, model.device)
        read = model.get_encoder()(input_ids=prompts, attention_mask=mask).last_hidden_state
        chosen = torch.tensor([rows[ids] for ids in inputs], device=model.device)
        written, _ = padded([(self.start, *target[:-1]) for target in targets], pad, model.device)
        found = model(
            encoder_outputs=BaseModelOutput(last_hidden_state=read[chosen]),
            attention_mask=mask[chosen],
            decoder_input_ids=written,
            use_cache=False,
        ).logits
        return [found[row, : len(target)] for row, target in enumerate(targets)]


def architecture_of(config: Any, window: int, name: str) -> Architecture:
    """How a loaded model is asked.

    Args:
        config: Its transformers configuration.
        window: Tokens that it can read.
        name: What the user called it, for messages.

    Raises:
        BadFileError: an encoder-decoder that does not say what its decoder begins from.
    """
    if not config.is_encoder_decoder:
        return DecoderOnly(window)
    if not isinstance(start := getattr(config, "decoder_start_token_id", None), int):
        raise BadFileError(
            f"{name} is an encoder-decoder, but its config.json has no decoder_start_token_id, which its answers begin "
            "from: add it (T5: the pad token's id)"
        )
    # relative positions, as T5 has them, have no end
    limits = (getattr(config, key, None) for key in ("max_decoder_position_embeddings", "max_position_embeddings"))
    return EncoderDecoder(next((int(limit) for limit in limits if limit is not None), sys.maxsize), start)


def padded(rows: Sequence[Sequence[int]], pad: int, device: Any, left: bool = False) -> tuple[Any, Any]:
    """Token ids with padding on one side, and the mask of what is no padding; both (rows, width)."""
    import torch

    width = max(map(len, rows))
    gaps = [width - len(row) for row in rows]
    ids = [[*[pad] * (gap * left), *row, *[pad] * (gap * (not left))] for row, gap in zip(rows, gaps, strict=True)]
    mask = [[0] * (gap * left) + [1] * (width - gap) + [0] * (gap * (not left)) for gap in gaps]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _causal(model: Any, ids: Any, first: int) -> Any:
    """Logits from position `first` on, (rows, width − first, vocabulary)."""
    import torch

    if "logits_to_keep" in inspect.signature(model.forward).parameters:
        keep = torch.arange(first, ids.shape[1], device=ids.device)
        return model(ids, use_cache=False, logits_to_keep=keep).logits
    return model(ids, use_cache=False).logits[:, first:]
