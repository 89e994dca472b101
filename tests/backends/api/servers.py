"""Small HTTP servers on the loopback: one that answers well from another backend, one that fails as it is told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from capeval.backends import Backend
from capeval.core import Request

Answer = Callable[["Handler", dict[str, Any]], None]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        models = {"object": "list", "data": [{"id": "m", "owned_by": self.server.kind, "root": "/m"}]}
        self.json(200, models if self.path == "/v1/models" else {"version": "9"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        with server.lock:
            server.asked.append((time.monotonic(), self.path, body))
            server.inside += 1
            server.most = max(server.most, server.inside)
        try:
            server.answer(self, body)
        finally:
            with server.lock:
                server.inside -= 1

    def json(self, status: int, body: Any, **headers: str) -> None:
        self.raw(status, json.dumps(body).encode(), **headers)

    def raw(self, status: int, data: bytes, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def cut(self) -> None:
        """Close the connection in the middle."""
        self.close_connection = True
        self.connection.close()

    def finish(self) -> None:
        with suppress(OSError, ValueError):
            super().finish()

    def log_message(self, *arguments: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, answer: Answer, kind: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer, self.kind = answer, kind
        self.lock = threading.Lock()
        self.asked: list[tuple[float, str, dict[str, Any]]] = []
        self.inside = self.most = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that went away


@contextmanager
def serving(answer: Answer, kind: str = "somebody") -> Iterator[Server]:
    server = Server(answer, kind)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def said(text: Any, finish: Any = "stop", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "text": text, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    return {"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 2}, **more}


def well(handler: Handler, body: dict[str, Any]) -> None:
    """An echo of the question's end."""
    prompt = body.get("prompt") or body["messages"][-1]["content"]
    choice = said(f" {str(prompt)[-4:]}")
    if handler.path.endswith("chat/completions"):
        del choice["choices"][0]["text"]
    else:
        del choice["choices"][0]["message"]
    handler.json(200, choice)


def from_checkpoint(backend: Backend, tokenizer: Any) -> Answer:
    """Completions of a checkpoint, with the log-probabilities of the prompt where they are asked for."""
    lock = threading.Lock()

    def one(request: Request) -> Any:
        [[(_, reply)]] = getattr(backend, request.kind)([request])
        return reply

    def answer(handler: Handler, body: dict[str, Any]) -> None:
        ids = body["prompt"] if isinstance(body["prompt"], list) else tokenizer.encode(body["prompt"])
        with lock:
            if body.get("echo"):
                handler.json(200, echoed(ids))
                return
            generation = {"max_gen_toks": body["max_tokens"], "until": body.get("stop", []), "do_sample": False}
            reply = one(Request(kind="generate", text=tokenizer.decode(ids), generation=generation))
        answer = said(reply.text, reply.finish)
        answer["usage"]["completion_tokens"] = reply.n_tokens
        handler.json(200, answer)

    def echoed(ids: list[int]) -> dict[str, Any]:
        import torch

        with torch.no_grad():
            rows = backend._engine().forward.plainly()(torch.tensor([ids])).logits[0].float().log_softmax(-1)
        values = [None, *(rows[i, t].item() for i, t in enumerate(ids[1:])), rows[-1].max().item()]
        tokens = [tokenizer.decode([t]) for t in [*ids, int(rows[-1].argmax())]]
        tops = [None, *({tokenizer.decode([int(row.argmax())]): row.max().item()} for row in rows)]
        answer = said("".join(tokens), "length")
        answer["choices"][0]["logprobs"] = {"tokens": tokens, "token_logprobs": values, "top_logprobs": tops}
        answer["usage"]["prompt_tokens"] = len(ids)
        return answer

    return answer
