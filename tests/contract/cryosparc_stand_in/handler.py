"""What both versions share of HTTP: reading a request, answering it."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from instance import Instance, Refused

MIME = "application/x-cryosparc-dataset"


class Handler(BaseHTTPRequestHandler):
    """Answers what ``route`` of a version makes of a request."""

    instance: Instance
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        """Stay quiet."""

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def answer(self, status: int, content: Any, mime: str = "application/json") -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", mime)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self.do_any()

    def do_POST(self) -> None:
        self.do_any()

    def do_any(self) -> None:
        url, body = urlsplit(self.path), self.body()
        with self.instance.lock:
            try:
                self.route(url.path, {name: values[0] for name, values in parse_qs(url.query).items()}, body)
            except Refused as refusal:
                self.answer(refusal.status, {"detail": str(refusal)})
            self.instance.remember()

    def route(self, path: str, query: dict[str, str], body: bytes) -> None:
        raise NotImplementedError

    def answer_dataset(self, dataset: Any) -> None:
        self.answer(self.success, b"".join(dataset.stream()), MIME)

    success = 200
