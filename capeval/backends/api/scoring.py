"""Log-probabilities from a server that returns those of its prompt: completions with `echo` and `logprobs`.

Where the tokenizer is known, ids are sent and split where lm-eval splits them. vLLM scores all one-token continuations
of a prompt in one request (`logprob_token_ids`). Without a tokenizer, text is sent, and its tokens are matched to the
continuation from the end; a token that lies across the border is refused, because half of it has no probability.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from capeval.backends.api.client import GarbledError
from capeval.backends.api.tally import count
from capeval.backends.api.writing import first_choice
from capeval.errors import UsageError

MOST_IDS = 100
"""Continuations of one request: vLLM takes 128 ids and adds the one that it samples."""


class Score(NamedTuple):
    """Of one continuation, or of a part of it."""

    logprob: float
    greedy: bool
    tokens: int


def echo_body(prompt: str | Sequence[int], by_id: bool) -> dict[str, Any]:
    """A request for the log-probabilities of a prompt's tokens."""
    sent = prompt if isinstance(prompt, str) else list(prompt)
    more = {"return_tokens_as_token_ids": True} if by_id else {}
    return {"prompt": sent, "echo": True, "logprobs": 1, "max_tokens": 1, "temperature": 0.0} | more


def choices_body(context: Sequence[int], ids: Sequence[int]) -> dict[str, Any]:
    """A request for the log-probabilities of single tokens after a prompt; vLLM's own."""
    return {"prompt": list(context), "logprobs": 1, "logprob_token_ids": list(ids), "max_tokens": 1,
            "temperature": 0.0, "return_tokens_as_token_ids": True}  # fmt: skip


def read_choices(answer: Mapping[str, Any], ids: Sequence[int]) -> list[Score]:
    """What `choices_body` asked for, in the order of the ids; the sampled token is the most probable one."""
    top = _part(_logprobs(answer), "top_logprobs")
    if not top or not isinstance(top[0], dict):
        raise GarbledError("it has no log-probabilities of the choices")
    values = {name: _number(value) for name, value in top[0].items()}
    best = max(values.values())
    try:
        return [Score(values[f"token_id:{token}"], values[f"token_id:{token}"] >= best, 1) for token in ids]
    except KeyError as error:
        raise GarbledError(f"it has no log-probability of {error}") from error


def read_ids(answer: Mapping[str, Any], length: int, targets: int) -> Score:
    """The last `targets` of the `length` ids that were sent."""
    logprobs = _logprobs(answer)
    if len(_part(logprobs, "token_logprobs")) < length:
        raise GarbledError(f"it has log-probabilities of fewer than the {length} tokens that were sent")
    return _sum(logprobs, range(length - targets, length))


def read_text(answer: Mapping[str, Any], continuation: str, where: str) -> Score:
    """The tokens at the prompt's end that make up the continuation.

    Raises:
        UsageError: a token lies across the border, or what the server shows of its tokens is not the text.
    """
    logprobs = _logprobs(answer)
    tokens = _part(logprobs, "tokens")
    usage = answer.get("usage")
    end = (count(usage.get("prompt_tokens")) if isinstance(usage, dict) else None) or 0
    if not 0 < end <= len(tokens):
        raise GarbledError("it does not say how many tokens the prompt has")
    begin, said = end, ""
    while begin and len(said) < len(continuation):
        begin -= 1
        said = str(tokens[begin]) + said
    if said != continuation:
        raise UsageError(
            f"{where}: no token begins where the continuation {continuation[:40]!r} does, so its probability can't be "
            "told from text; give the model's tokenizer: --model-args tokenizer=FOLDER_OR_HUB_ID"
        )
    if begin == 0 or _part(logprobs, "token_logprobs")[begin] is None:
        raise UsageError(
            f"{where}: an empty prompt needs a BOS before the text, which the server does not add; give the model's "
            "tokenizer: --model-args tokenizer=FOLDER_OR_HUB_ID"
        )
    return _sum(logprobs, range(begin, end))


def has_prompt_logprobs(answer: Mapping[str, Any]) -> bool:
    """Whether an answer to `echo_body` of a text holds what was asked for: of more than the one generated token."""
    logprobs = first_choice(answer).get("logprobs")
    values = logprobs.get("token_logprobs") if isinstance(logprobs, dict) else None
    tops = logprobs.get("top_logprobs") if isinstance(logprobs, dict) else None
    return isinstance(values, list) and len(values) > 2 and isinstance(tops, list) and len(tops) == len(values)


def _logprobs(answer: Mapping[str, Any]) -> dict[str, Any]:
    found = first_choice(answer).get("logprobs")
    if not isinstance(found, dict):
        raise GarbledError("it has no log-probabilities")
    return found


def _part(logprobs: Mapping[str, Any], name: str) -> list[Any]:
    found = logprobs.get(name)
    if not isinstance(found, list):
        raise GarbledError(f"its log-probabilities have no {name}")
    return found


def _sum(logprobs: Mapping[str, Any], places: range) -> Score:
    values, tops = _part(logprobs, "token_logprobs"), _part(logprobs, "top_logprobs")
    if len(tops) < places.stop or len(values) < places.stop:
        raise GarbledError("its lists of log-probabilities have different lengths")
    total, greedy = [], True
    for place in places:
        value = _number(values[place])
        top = tops[place]
        if not isinstance(top, dict) or not top:
            raise GarbledError("it does not say which token is the most probable one")
        greedy = greedy and value >= max(map(_number, top.values()))
        total.append(value)
    return Score(math.fsum(total), greedy, len(places))


def _number(value: object) -> float:
    """A log-probability; a little above 0 is rounding, NaN and more are not."""
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value) or value > 1e-3:
        raise GarbledError(f"a log-probability of it is {value!r}")
    return min(0.0, float(value))
