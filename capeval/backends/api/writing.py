"""Answers: a request of a suite as a server's request, and what the server said as a reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from capeval.backends import writing
from capeval.backends.api.client import GarbledError
from capeval.backends.api.messages import continued, read_messages
from capeval.backends.api.server import Server
from capeval.backends.api.settings import ApiSettings
from capeval.backends.api.tally import count
from capeval.core import Reply, Request
from capeval.errors import UsageError, not_among

MOST_STOPS = 4
"""Stop strings that OpenAI's API takes; the answer is cut at all of them here."""
_STANDARD = ("temperature", "top_p", "frequency_penalty", "presence_penalty")
_OPEN_SERVERS = ("top_k", "min_p", "repetition_penalty")
"""What vLLM and llama.cpp know besides; other servers refuse it, and say so."""
_IGNORED = ("until", "max_gen_toks", "do_sample", "use_cache")


def body(request: Request, ids: Sequence[int] | None, settings: ApiSettings, server: Server) -> dict[str, Any]:
    """What is sent, without the model's name.

    Args:
        request: What is to be continued.
        ids: The prompt's token ids, where the tokenizer is known.
        settings: For the endpoint and its words.
        server: For what is vLLM's own.

    Raises:
        UsageError: a generation setting that no such server has.
    """
    generation = request.generation
    wanted: dict[str, Any] = {settings.limit_field: room_of(request)}
    stops = [stop for stop in generation.get("until", ()) if stop][:MOST_STOPS]
    if stops:
        wanted["stop"] = stops
    wanted |= _sampling(generation)
    if generation.get("do_sample") and settings.seeds:
        wanted["seed"] = seed_of(request)
    if settings.endpoint == "completions":
        return {"prompt": list(ids) if ids is not None else request.text} | wanted
    messages = read_messages(request.text)
    if continued(messages) and server.kind == "vllm":
        wanted |= {"add_generation_prompt": False, "continue_final_message": True}
    return {"messages": messages} | wanted


def room_of(request: Request) -> int:
    """Tokens that an answer may have."""
    return int(request.generation.get("max_gen_toks", 256))


def _sampling(generation: Mapping[str, Any]) -> dict[str, Any]:
    known = (*_STANDARD, *_OPEN_SERVERS, *_IGNORED, "num_beams")
    for name in generation:
        if name not in known:
            raise UsageError(f"generation_kwargs: {not_among('generation setting', name, known)}")
    if generation.get("num_beams", 1) != 1:
        raise UsageError(f"backend 'api' does no beam search (num_beams: {generation['num_beams']})")
    sent = {name: generation[name] for name in (*_STANDARD, *_OPEN_SERVERS) if name in generation}
    if generation.get("do_sample"):
        # said, because a server may have defaults of its own (a model's generation_config.json)
        return {"temperature": 1.0, "top_p": 1.0} | sent
    for name in ("top_p", "top_k", "min_p"):
        sent.pop(name, None)
    return sent | {"temperature": 0.0}


def seed_of(request: Request) -> int:
    """Of one sampled request: another for every seed, sample and prompt; 31 bits, which every server takes."""
    return writing.seed_of(request) % 2**31


def reply_of(answer: Mapping[str, Any], request: Request, cut: int) -> Reply:
    """The reply in a server's answer, cut before the first stop string in the order of the list, as `hf` does.

    Raises:
        GarbledError: there is none.
    """
    choice = first_choice(answer)
    finish = choice.get("finish_reason")
    if not isinstance(finish, str) or not finish:
        raise GarbledError("it lacks the reason why the answer ended (finish_reason)")
    text = _text(choice, finish)
    for stop in request.generation.get("until", ()):
        kept = text.split(stop)[0] if stop else text
        if kept != text:
            text, finish = kept, "stop"
    usage = answer.get("usage")
    tokens = count(usage.get("completion_tokens")) if isinstance(usage, dict) else None
    return Reply(text=text, finish=_finish(finish), n_tokens=tokens, cut=cut)


def _finish(finish: str) -> str:
    """`stop` and `length` as they are, a filter under its own name, so that nobody takes it for the model's end."""
    names = {"eos": "stop", "max_tokens": "length"}
    return names.get(finish, finish[:32])


def _text(choice: Mapping[str, Any], finish: str) -> str:
    if "message" not in choice:
        said = choice.get("text")
    else:
        message = choice["message"]
        if not isinstance(message, dict):
            raise GarbledError("its message is no object")
        said = message.get("content")
        if said is None and isinstance(message.get("refusal"), str):
            return str(message["refusal"])
    if said is None and finish in ("content_filter", "length"):
        return ""  # filtered, or cut while the model was thinking: there is no answer, and `finish` says why
    if not isinstance(said, str):
        raise GarbledError("it has no text")
    return said


def first_choice(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The only choice of an answer.

    Raises:
        GarbledError: there is none.
    """
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise GarbledError("it has no choices")
    return choices[0]
