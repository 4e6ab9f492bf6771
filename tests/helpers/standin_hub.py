"""A stand-in for Hugging Face's Hub on this machine: it answers the calls of huggingface_hub."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

TOKEN = "hf_stand_in"


class Repo:
    """The files of a repository by commit; the last commit is the branch main."""

    def __init__(self) -> None:
        self.private = False
        self.commits: dict[str, dict[str, bytes]] = {}
        self.messages: list[str] = []

    def commit(self, files: dict[str, bytes], message: str = "") -> str:
        kept = self.commits[self.head] if self.commits else {}
        sha = hashlib.sha1(f"{len(self.commits)}{message}".encode()).hexdigest()
        self.commits[sha] = {**kept, **files}
        self.messages.append(message)
        return sha

    @property
    def head(self) -> str:
        return list(self.commits)[-1]

    def find(self, revision: str) -> str | None:
        revision = self.head if revision == "main" else revision
        return revision if revision in self.commits else None


class Hub(ThreadingHTTPServer):
    """The server. `repos` are its repositories, `calls` the requests so far.

    `broken` is None, or the HTTP status of every answer.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repos: dict[str, Repo] = {}
        self.large: dict[str, bytes] = {}
        self.calls: list[str] = []
        self.broken: int | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def serve() -> Iterator[Hub]:
    hub = Hub()
    thread = Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def handle_call(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.split("?")[0]
        self.server.calls.append(f"{self.command} {path}")
        if self.server.broken is not None:
            self.answer({"error": "out of order"}, self.server.broken)
            return
        for pattern, name in ROUTES:
            match = re.fullmatch(pattern, f"{self.command} {path}")
            if match is not None:
                getattr(self, name)(body, *match.groups())
                return
        self.answer({"error": "no such page"}, 404)

    do_GET = do_HEAD = do_POST = do_PUT = handle_call  # noqa: N815

    def answer(
        self, content: object = None, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    @property
    def may_write(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def find_repo(self, name: str) -> Repo | None:
        repo = self.server.repos.get(name)
        if repo is None or (repo.private and not self.may_write):
            self.answer({"error": "not found"}, 404, {"X-Error-Code": "RepoNotFound"})
            return None
        return repo

    def create(self, body: bytes) -> None:
        wanted = json.loads(body)
        name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
        if not self.may_write:
            self.answer({"error": "Invalid username or password."}, 401)
        elif name in self.server.repos:
            self.answer({"error": "exists", "url": f"{self.server.url}/{name}"}, 409)
        else:
            self.server.repos[name] = repo = Repo()
            repo.private = wanted.get("private", wanted.get("visibility") == "private")
            self.answer({"url": f"{self.server.url}/{name}", "name": name, "id": "1"})

    def validate(self, body: bytes) -> None:
        assert json.loads(body)["content"].startswith("---\nlibrary_name: tiramisu\n")
        self.answer({"errors": [], "warnings": []})

    def preupload(self, body: bytes, name: str) -> None:
        if self.find_repo(name):
            files = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(body)["files"]
            ]
            self.answer({"files": files})

    def large_batch(self, body: bytes, name: str) -> None:
        objects = [
            {**wanted, "actions": {"upload": {"href": f"{self.server.url}/large/{wanted['oid']}"}}}
            for wanted in json.loads(body)["objects"]
        ]
        self.answer({"transfer": "basic", "objects": objects})

    def large_put(self, body: bytes, oid: str) -> None:
        assert hashlib.sha256(body).hexdigest() == oid
        self.server.large[oid] = body
        self.answer({})

    def commit(self, body: bytes, name: str) -> None:
        repo = self.find_repo(name)
        if repo is None:
            return
        files, message = {}, ""
        for line in body.splitlines():
            part = json.loads(line)
            value = part["value"]
            if part["key"] == "header":
                message = value["summary"]
            elif part["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif part["key"] == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
        sha = repo.commit(files, message)
        url = f"{self.server.url}/{name}/commit/{sha}"
        self.answer({"success": True, "commitUrl": url, "commitOid": sha})

    def info(self, body: bytes, name: str, revision: str = "main") -> None:
        repo = self.find_repo(name)
        if repo is None:
            return
        sha = repo.find(revision)
        if sha is None:
            self.answer({"error": "not found"}, 404, {"X-Error-Code": "RevisionNotFound"})
            return
        siblings = [{"rfilename": path} for path in repo.commits[sha]]
        self.answer({"id": name, "sha": sha, "private": repo.private, "siblings": siblings})

    def tree(self, body: bytes, name: str, revision: str) -> None:
        files = self.server.repos[name].commits[revision]
        self.answer(
            [
                {"type": "file", "path": path, "size": len(data), "oid": _etag(data)}
                for path, data in files.items()
            ]
        )

    def resolve(self, body: bytes, name: str, revision: str, path: str) -> None:
        repo = self.find_repo(name)
        if repo is None:
            return
        sha = repo.find(revision)
        if sha is None:
            self.answer({"error": "not found"}, 404, {"X-Error-Code": "RevisionNotFound"})
            return
        files = repo.commits[sha]
        if path not in files:
            self.answer({"error": "not found"}, 404, {"X-Error-Code": "EntryNotFound"})
            return
        headers = {"ETag": f'"{_etag(files[path])}"', "X-Repo-Commit": str(sha)}
        self.answer(files[path], 200, headers)

    def log_message(self, *args: object) -> None:
        pass


def _etag(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


NAME = r"([\w.-]+/[\w.-]+)"
ROUTES = (
    ("POST /api/repos/create", "create"),
    ("POST /api/validate-yaml", "validate"),
    (f"POST /api/models/{NAME}/preupload/main", "preupload"),
    (f"POST /{NAME}.git/info/lfs/objects/batch", "large_batch"),
    (r"PUT /large/(\w+)", "large_put"),
    (f"POST /api/models/{NAME}/commit/main", "commit"),
    (f"GET /api/models/{NAME}", "info"),
    (rf"GET /api/models/{NAME}/revision/([\w.-]+)", "info"),
    (rf"GET /api/models/{NAME}/tree/(\w+)", "tree"),
    (rf"(?:GET|HEAD) /{NAME}/resolve/([\w.-]+)/(.+)", "resolve"),
)
