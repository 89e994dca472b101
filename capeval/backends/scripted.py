"""A deterministic fake: answers from a script, or made up from a hash of the prompt. For tests, examples and dry runs.

    capeval run --backend scripted --model parrot --suite smoke
    capeval run --backend scripted --model script.yaml --suite smoke

A script is a YAML or JSON file: `rules`, a list of {when, say}; the first whose regular expression `when` is found in
the prompt decides, and its `say` is what the model generates, or takes for the most probable continuation. `\\1` in
`say` is the pattern's first group.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from capeval import strict
from capeval.backends import BackendSettings, Batch, Known, Piece
from capeval.backends.options import NoOptions, read_options
from capeval.core import Reply, Request, RequestKind
from capeval.digest import digest
from capeval.errors import BadFileError, UsageError

_BATCH = 32
_LISTING = "capeval list backends"
_Replier = Callable[[Request], Reply]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedBackend:
    """See `capeval.backends.Backend`."""

    uri: str
    digest: str
    numerics: Mapping[str, str]
    rules: tuple[tuple[re.Pattern[str], str], ...]

    @classmethod
    def open(cls, model: str, settings: BackendSettings) -> ScriptedBackend:
        """A script file, or any other word, which is then the seed of made-up answers.

        Raises:
            UsageError: when a script file does not exist.
            BadFileError: when it is malformed.
        """
        read_options(NoOptions, settings.options, "scripted")
        path = Path(model)
        is_file = path.suffix in (".yaml", ".yml", ".json")
        if is_file and not path.is_file():
            raise UsageError(f"there is no script {path}")
        data = strict.read_yaml(path) if is_file else {}
        strict.refuse_unknown(data, {"rules"}, str(path), _LISTING)
        return cls(
            uri=str(path.resolve()) if is_file else model,
            digest=digest("scripted", data if is_file else model),
            numerics={"backend": "scripted"},
            rules=tuple(_rule(rule, path) for rule in strict.mappings(data, "rules", str(path))),
        )

    @property
    def refuses(self) -> Mapping[RequestKind, str]:
        """Nothing."""
        return {}

    def load(self) -> None:
        """Nothing."""

    @property
    def chosen(self) -> Mapping[str, str]:
        """Nothing."""
        return {}

    def chat_template(self) -> str:
        """One line per message."""
        return "{role}: {content}"

    def chat(self, messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """`user: …`, one line per message."""
        lines = [f"{m['role']}: {m['content']}" for m in messages]
        return "\n".join([*lines, "assistant:"] if add_generation_prompt else lines)

    def overflow(self, request: Request) -> int:
        """0: it reads any length."""
        del request
        return 0

    def pieces(self, text: str) -> list[Piece]:
        """One run of words; nothing is special."""
        return [Piece(text, False, len(text.split()))]

    def generate(self, requests: Sequence[Request], known: Known = frozenset()) -> Iterator[Batch]:
        """What the script says, cut at the first stop string and after `max_gen_toks` words."""
        return self._batches(requests, known, self._generated)

    def loglikelihood(self, requests: Sequence[Request], known: Known = frozenset()) -> Iterator[Batch]:
        """0 for what the script says, less for anything else; made up without a script."""
        return self._batches(requests, known, self._scored)

    def perplexity(self, requests: Sequence[Request], known: Known = frozenset()) -> Iterator[Batch]:
        """Between half and one nat a character."""
        return self._batches(requests, known, self._rolled)

    def _batches(self, requests: Sequence[Request], known: Known, reply: _Replier) -> Iterator[Batch]:
        todo = [i for i in range(len(requests)) if i not in known]
        for start in range(0, len(todo), _BATCH):
            yield [(i, reply(requests[i])) for i in todo[start : start + _BATCH]]

    def _generated(self, request: Request) -> Reply:
        text = self._said(request.text)
        if text is None:
            number = int(100 * self._uniform("say", request.text, request.sample, request.seed))
            text = f" Let me think. The answer is {number}."
        for stop in request.generation.get("until", ()):
            text = text.split(stop)[0] if stop else text
        words = re.findall(r"\s*\S+", text)
        room = int(request.generation.get("max_gen_toks", 256))
        finish = "length" if len(words) > room else "stop"
        return Reply(text="".join(words[:room]), finish=finish, n_tokens=min(len(words), room))

    def _scored(self, request: Request) -> Reply:
        said = self._said(request.text)
        n_tokens = max(1, len(request.continuation.split()))
        if said is not None and said.strip() == request.continuation.strip():
            return Reply(logprob=0.0, greedy=True, n_tokens=n_tokens)
        logprob = -0.01 - 9.99 * self._uniform("score", request.text, request.continuation)
        return Reply(logprob=logprob, greedy=False if said is not None else logprob > -2.0, n_tokens=n_tokens)

    def _rolled(self, request: Request) -> Reply:
        rate = 0.5 + 0.5 * self._uniform("roll", request.text)
        return Reply(logprob=-rate * len(request.text), greedy=False, n_tokens=len(request.text.split()))

    def _said(self, prompt: str) -> str | None:
        for when, say in self.rules:
            if found := when.search(prompt):
                return found.expand(say)
        return None

    def _uniform(self, *parts: object) -> float:
        """A number in [0, 1) that only this script and these parts decide."""
        key = "\0".join(map(str, (self.digest, *parts))).encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.sha256(key).digest()[:6], "big") / 2**48


def _rule(data: Mapping[str, object], path: Path) -> tuple[re.Pattern[str], str]:
    strict.refuse_unknown(data, {"when", "say"}, f"{path}: rule", _LISTING)
    try:
        return re.compile(str(data["when"])), str(data["say"])
    except KeyError as error:
        raise BadFileError(f"{path}: every rule needs 'when' and 'say'") from error
    except re.error as error:
        raise BadFileError(f"{path}: {data['when']!r} is no regular expression: {error}") from error
