"""Any OpenAI-compatible server: vLLM's, llama.cpp's, a hosted one.

    capeval run --backend api --model NAME --model-args base_url=http://127.0.0.1:8000/v1,endpoint=chat --suite smoke

Keys come from the environment alone (CAPEVAL_API_KEY, OPENAI_API_KEY). `docs/api.md` says what is asked and refused,
and what it costs. Without `tokenizer`, nothing here needs torch or transformers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from capeval.backends import BackendSettings, Batch, Known, Piece
from capeval.backends.api import asking, scoring, writing
from capeval.backends.api.flow import Job, answers
from capeval.backends.api.messages import continued, read_messages, write_messages
from capeval.backends.api.reading import Reader, open_reader
from capeval.backends.api.server import Server, look, tokens_of
from capeval.backends.api.settings import ApiSettings, settings_of
from capeval.backends.api.tally import Tally
from capeval.core import Reply, Request, RequestKind
from capeval.digest import digest
from capeval.errors import UsageError

_ADDED = 8
"""Tokens that a tokenizer may add to a text, at most."""
_SERVERS_TEMPLATE = "(the server's own: messages are sent as they are)"
_GIVE_TOKENIZER = "give the model's tokenizer: --model-args tokenizer=FOLDER_OR_HUB_ID"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiBackend:
    """See `capeval.backends.Backend`."""

    uri: str
    digest: str
    numerics: Mapping[str, str]
    model: str
    settings: ApiSettings
    server: Server
    reader: Reader | None
    """The model's tokenizer, where it is given."""
    tally: Tally = field(default_factory=Tally)

    @classmethod
    def open(cls, model: str, settings: BackendSettings) -> ApiBackend:
        """Ask the server who it is.

        Raises:
            UsageError: wrong options, a key among them; a wrong key in the environment; no such model on a vLLM.
            MissingError: no server answers, or the tokenizer is not there.
            BadFileError: a damaged tokenizer.
        """
        own = settings_of(settings.options)
        server = look(own, model)
        reader = open_reader(own.tokenizer, settings.revision) if own.tokenizer else None
        kind = f"{server.kind} {server.version}".strip() or "unknown"
        return cls(
            uri=model,
            digest=digest("api", own.base_url, model, server.root, reader.digest if reader else ""),
            numerics={"backend": "api", "endpoint": own.endpoint, "server": kind},
            model=model,
            settings=own,
            server=server,
            reader=reader,
        )

    @property
    def refuses(self) -> Mapping[RequestKind, str]:
        """See `Backend`."""
        if self.settings.endpoint == "chat":
            why = (
                "is asked at a chat endpoint, which returns no log-probabilities of what it is sent; "
                "--model-args endpoint=completions asks the one that may"
            )
            return {"loglikelihood": why, "perplexity": why}
        if self.reader is None or not self.server.window:
            missing = _GIVE_TOKENIZER if self.reader is None else "say max_model_len=TOKENS in --model-args"
            return {"perplexity": f"can't be sent a long text in pieces that it can read; {missing}"}
        return {}

    def load(self) -> None:
        """Nothing: the server has."""

    @property
    def chosen(self) -> Mapping[str, str]:
        """See `Backend`: what was sent, received and spent, and which systems answered."""
        return self.tally.words(self.settings)

    def chat_template(self) -> str:
        """A note that the server has it; at the completions endpoint that of `tokenizer`.

        Raises:
            UsageError: there is none.
        """
        return _SERVERS_TEMPLATE if self.settings.endpoint == "chat" else self._reader_for_chat().template()

    def chat(self, messages: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The messages as one text (`messages.py`); at the completions endpoint in the template of `tokenizer`.

        Raises:
            UsageError: there is none; or the answer is begun for a server that can't go on from there.
        """
        if self.settings.endpoint == "completions":
            return self._reader_for_chat().chat(messages, add_generation_prompt)
        if not add_generation_prompt and continued(messages) and not self.server.counts:
            raise UsageError(
                "a task begins the model's answer itself (gen_prefix), and at a chat endpoint only vLLM and llama.cpp "
                "go on from there; leave that task out, or use endpoint=completions with tokenizer=…"
            )
        return write_messages(messages)

    def _reader_for_chat(self) -> Reader:
        if self.reader is None:
            raise UsageError(
                "at the endpoint 'completions' the server's chat template is not known: use --model-args "
                f"endpoint=chat, or {_GIVE_TOKENIZER}"
            )
        return self.reader

    def overflow(self, request: Request) -> int:
        """See `Backend`; 0 where the window is not known or nobody counts tokens: then the server will say."""
        window = self.server.window
        if not window or request.kind == "perplexity" or not (self.reader or self.server.counts):
            return 0
        room = window - (writing.room_of(request) if request.kind == "generate" else 1)
        said = request.text + request.continuation
        if len(said.encode("utf-8", "surrogatepass")) + self._added(said) <= room:
            return 0  # a token says at least one byte
        return max(0, self._count(said) - room)

    def _added(self, said: str) -> int:
        """Tokens that are not of the text, at most: every message is taken to bring all that a whole chat does."""
        if self.settings.endpoint == "completions":
            return _ADDED
        return self._count(write_messages([{"role": "user", "content": "x"}])) * len(read_messages(said))

    def _count(self, said: str) -> int:
        if self.settings.endpoint == "chat":
            messages = read_messages(said)
            if self.server.counts:
                return tokens_of(self.settings, self.server, self.model, messages) or 0
            assert self.reader
            said = self.reader.chat(messages, not continued(messages))
        if self.reader:
            return len(self.reader.ids([said])[0])
        return tokens_of(self.settings, self.server, self.model, said) or 0

    def pieces(self, text: str) -> list[Piece]:
        """See `Backend`; of messages the roles, as if they were special tokens, and what they say."""
        if self.settings.endpoint == "completions":
            return self.reader.pieces(text) if self.reader else [Piece(text, False, 0)]
        return [
            piece
            for m in read_messages(text)
            for piece in (Piece(m["role"], True, 0), Piece(m["content"], False, 0))
        ]  # fmt: skip

    def generate(self, requests: Sequence[Request], known: Known = frozenset()) -> Iterator[Batch]:
        """See `Backend`."""
        todo = [i for i in range(len(requests)) if i not in known]
        ids: dict[int, list[int]] = {}
        if self.reader and self.settings.endpoint == "completions":
            ids = dict(zip(todo, self.reader.ids([requests[i].text for i in todo]), strict=True))
        jobs: list[Job] = [self._writing(i, requests[i], ids.get(i)) for i in todo]
        return answers(jobs, self.settings, self.model, self.tally)

    def _writing(self, position: int, request: Request, ids: list[int] | None) -> Job:
        cut = 0
        if ids is not None and self.server.window:
            room = self.server.window - writing.room_of(request)
            if room < 1:
                raise UsageError(
                    f"the suite asks for answers of up to {writing.room_of(request)} tokens, but {self.model} reads "
                    f"{self.server.window}: choose a suite with shorter answers"
                )
            ids, cut = ids[-room:], max(0, len(ids) - room)
        body = writing.body(request, ids, self.settings, self.server)
        return partial(asking.answer, position, body, partial(writing.reply_of, request=request, cut=cut))

    def loglikelihood(self, requests: Sequence[Request], known: Known = frozenset()) -> Iterator[Batch]:
        """See `Backend`."""
        self._refuse("loglikelihood")
        todo = [i for i in range(len(requests)) if i not in known]
        if not todo:
            return
        self._probe()
        if self.reader:
            pairs = self.reader.pairs([(requests[i].text, requests[i].continuation) for i in todo])
            jobs = self._id_jobs(dict(zip(todo, pairs, strict=True)))
        else:
            jobs = [self._text_job(i, requests[i]) for i in todo]
        yield from answers(jobs, self.settings, self.model, self.tally)

    def perplexity(self, requests: Sequence[Request], known: Known = frozenset()) -> Iterator[Batch]:
        """See `Backend`."""
        self._refuse("perplexity")
        assert self.reader
        todo = [i for i in range(len(requests)) if i not in known]
        if not todo:
            return
        self._probe()
        # a window holds the context's first token too, and one that the server generates
        windows = {i: self.reader.windows(requests[i].text, max(1, self.server.window - 2)) for i in todo}
        jobs: list[Job] = [
            partial(asking.score_text, i, pairs, self.server.kind == "vllm") for i, pairs in windows.items()
        ]
        yield from answers(jobs, self.settings, self.model, self.tally)

    def _refuse(self, kind: RequestKind) -> None:
        if why := self.refuses.get(kind):
            raise UsageError(f"{self.uri} {why}")

    def _probe(self) -> None:
        """Ask for the log-probabilities of one short prompt, before the work."""
        try:
            [[(_, found)]] = answers([asking.probe], self.settings, self.model, self.tally)
        except UsageError as error:
            found = Reply(error=str(error))
        if found.error:
            raise UsageError(
                f"{self.settings.base_url} ({self.numerics['server']} server) does not return the log-probabilities of "
                f"a prompt (completions with echo and logprobs: {found.error}), and so can't score choices or texts. "
                "Ask it a suite whose answers are generated, or serve the model with vLLM: vllm serve CHECKPOINT"
            )

    def _id_jobs(self, pairs: Mapping[int, tuple[list[int], list[int]]]) -> list[Job]:
        """One job a continuation; on vLLM one for all continuations of one token after the same prompt."""
        by_id = self.server.kind == "vllm"
        room = self.server.window - 1 if self.server.window else 0
        jobs: list[Job] = []
        shared: dict[tuple[int, ...], list[tuple[int, int]]] = {}
        for position, (context, target) in pairs.items():
            if by_id and len(target) == 1:
                shared.setdefault(tuple(context), []).append((position, target[0]))
            else:
                jobs.append(partial(asking.score, position, context, target, room, by_id))
        for prompt, asked in shared.items():
            for start in range(0, len(asked), scoring.MOST_IDS):
                jobs.append(partial(asking.score_choices, prompt, asked[start : start + scoring.MOST_IDS], room))
        return jobs

    def _text_job(self, position: int, request: Request) -> Job:
        # spaces at the prompt's end belong to the continuation: most tokenizers join them with the next word
        context = request.text.rstrip()
        target = request.text[len(context) :] + request.continuation
        read = partial(scoring.read_text, continuation=target, where=f"{self.model} at {self.settings.base_url}")
        body = scoring.echo_body(context + target, False)
        return partial(asking.answer, position, body, lambda answer: asking.scored_reply(read(answer), 0))
