"""A stand-in for the Hugging Face Hub: the part of its API by which models are pushed and fetched.

Paths and answers as in https://huggingface.co/docs/hub/api and the batch API of Git LFS
(https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md).
"""

import base64
import hashlib
import json
import re
import socket
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_the_owner"
#: A larger file, or one of weights, goes by LFS.
REGULAR = 20_000


class Repository:
    """One repository: its commits, each a dictionary of files by path."""

    def __init__(self, private=False):
        self.private, self.commits, self.branches = private, [], {"main": 0}
        self.add({".gitattributes": b"*.safetensors filter=lfs\n"})

    def add(self, files, branch="main"):
        sha = hashlib.sha1(repr((len(self.commits), sorted(files))).encode()).hexdigest()
        self.commits.append((sha, dict(files)))
        self.branches[branch] = len(self.commits) - 1
        return sha

    def at(self, revision):
        if revision in self.branches:
            return self.commits[self.branches[revision]]
        return next((c for c in self.commits if c[0] == revision), None)


class Hub:
    """The server; ``url`` is its address, ``log`` the requests as (method, path)."""

    def __init__(self, by_lfs=True):
        self.repositories, self.objects, self.log, self.by_lfs = {}, {}, [], by_lfs
        #: (method, end of the path) -> status that is answered instead.
        self.faults = {}
        #: Bytes that are left out at the end of files.
        self.cut = 0
        self.connections = []
        handler = type("Bound", (Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def files(self, name, revision="main"):
        return self.repositories[name].at(revision)[1]

    def close(self):
        """The server is gone, also for those who keep a connection open."""
        self.server.shutdown()
        self.server.server_close()
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.connections.clear()


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.hub.connections.append(self.connection)

    def log_message(self, *args):
        """Nothing on the terminal."""

    def answer(self, value=None, status=200, headers=None, raw=None):
        body = raw if raw is not None else json.dumps(value if value is not None else {}).encode()
        self.send_response(status)
        for key, text in (headers or {}).items():
            self.send_header(key, text)
        length = (headers or {}).get("Content-Length")
        if length is None:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            if length is not None and int(length) != len(body):
                self.close_connection = True

    def refuse(self, status, code="", message="refused"):
        headers = {"X-Error-Code": code, "X-Error-Message": message} if code else {}
        self.answer({"error": message}, status, headers)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    @property
    def token(self):
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def respond(self):
        path = unquote(urlsplit(self.path).path)
        self.hub.log.append((self.command, path))
        data = self.body() if self.command in ("POST", "PUT") else b""
        for (method, end), status in self.hub.faults.items():
            if method == self.command and path.endswith(end):
                self.refuse(status)
                return
        for pattern, method, action in ROUTES:
            found = re.fullmatch(pattern, path)
            if found and self.command in method:
                action(self, data, *found.groups())
                return
        self.refuse(404)

    do_GET = do_HEAD = do_POST = do_PUT = respond  # noqa: N815

    def repository(self, name, writes=False):
        """The repository that may be seen; None after a refusal."""
        found = self.hub.repositories.get(name)
        if self.token and self.token != TOKEN:
            self.refuse(401, message="Invalid credentials in Authorization header")
            return None
        if found is None or (found.private and self.token != TOKEN):
            self.refuse(404 if self.token else 401, "RepoNotFound", "Repository not found")
            return None
        if writes and self.token != TOKEN:
            self.refuse(403, message="Forbidden")
            return None
        return found

    def whoami(self, data):
        if self.token != TOKEN:
            self.refuse(401)
            return
        self.answer({"type": "user", "name": "owner", "orgs": []})

    def create(self, data):
        asked = json.loads(data)
        if self.token != TOKEN:
            self.refuse(401, message="Invalid username or password.")
            return
        owner = asked.get("organization") or "owner"
        if owner != "owner":
            self.refuse(403, message="You don't have the rights to create a model here")
            return
        name = f"{owner}/{asked['name']}"
        if name in self.hub.repositories:
            self.answer({"url": f"{self.hub.url}/{name}"}, 409)
            return
        private = asked.get("private") or asked.get("visibility") == "private"
        self.hub.repositories[name] = Repository(bool(private))
        self.answer({"url": f"{self.hub.url}/{name}", "name": name})

    def validate(self, data):
        content = json.loads(data)["content"]
        good = content.startswith("---\n") and "\n---" in content[3:]
        self.answer({"errors": [] if good else [{"message": "no metadata"}], "warnings": []})

    def preupload(self, data, name, revision):
        if self.repository(name, writes=True) is None:
            return
        files = []
        for file in json.loads(data)["files"]:
            large = file["size"] > REGULAR or file["path"].endswith(".safetensors")
            mode = "lfs" if large and self.hub.by_lfs else "regular"
            files.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False})
        self.answer({"files": files})

    def lfs_batch(self, data, name):
        if self.repository(name, writes=True) is None:
            return
        objects = []
        for one in json.loads(data)["objects"]:
            entry = {"oid": one["oid"], "size": one["size"]}
            if one["oid"] not in self.hub.objects:
                where = f"{self.hub.url}/lfs/{one['oid']}"
                entry["actions"] = {
                    "upload": {"href": where},
                    "verify": {"href": f"{where}/verify"},
                }
            objects.append(entry)
        self.answer({"transfer": "basic", "objects": objects})

    def lfs_put(self, data, oid):
        if hashlib.sha256(data).hexdigest() != oid:
            self.refuse(422)
            return
        self.hub.objects[oid] = data
        self.answer()

    def lfs_verify(self, data, oid):
        good = len(self.hub.objects.get(oid, b"")) == json.loads(data)["size"]
        self.answer() if good else self.refuse(422)

    def commit(self, data, name, revision):
        repository = self.repository(name, writes=True)
        if repository is None:
            return
        if repository.at(revision) is None:
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        files = dict(repository.at(revision)[1])
        for line in data.decode().splitlines():
            step = json.loads(line)
            value = step["value"]
            if step["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif step["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
            elif step["key"] == "deletedFile":
                del files[value["path"]]
        sha = repository.add(files, revision)
        address = f"{self.hub.url}/{name}/commit/{sha}"
        self.answer({"success": True, "commitOid": sha, "commitUrl": address, "hookOutput": ""})

    def seen(self, name, revision):
        """The commit of a revision; None after a refusal."""
        repository = self.repository(name)
        if repository is None:
            return None
        found = repository.at(revision)
        if found is None:
            self.refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return found

    def info(self, data, name, revision="main"):
        found = self.seen(name, revision)
        if found:
            siblings = [{"rfilename": path} for path in found[1]]
            private = self.hub.repositories[name].private
            self.answer({"id": name, "sha": found[0], "private": private, "siblings": siblings})

    def tree(self, data, name, revision):
        found = self.seen(name, revision)
        if found:
            self.answer([describe(path, content) for path, content in found[1].items()])

    def resolve(self, data, name, revision, path):
        found = self.seen(name, revision)
        if not found:
            return
        if path not in found[1]:
            self.refuse(404, "EntryNotFound", "Entry not found")
            return
        content = found[1][path]
        headers = {
            "ETag": f'"{describe(path, content)["oid"]}"',
            "X-Repo-Commit": found[0],
            "Content-Length": str(len(content)),
        }
        whole = self.command == "HEAD" or not self.hub.cut
        self.answer(headers=headers, raw=content if whole else content[: -self.hub.cut])


def describe(path, content):
    """An entry of a tree."""
    if path.endswith(".safetensors") or len(content) > REGULAR:
        oid = hashlib.sha256(content).hexdigest()
        lfs = {"oid": oid, "size": len(content), "pointerSize": 134}
        return {"type": "file", "path": path, "size": len(content), "oid": oid, "lfs": lfs}
    oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    return {"type": "file", "path": path, "size": len(content), "oid": oid}


NAME = r"([\w.-]+/[\w.-]+)"
ROUTES = [
    (r"/api/whoami-v2", ("GET",), Handler.whoami),
    (r"/api/repos/create", ("POST",), Handler.create),
    (r"/api/validate-yaml", ("POST",), Handler.validate),
    (rf"/api/models/{NAME}/preupload/(.+)", ("POST",), Handler.preupload),
    (rf"/{NAME}\.git/info/lfs/objects/batch", ("POST",), Handler.lfs_batch),
    (r"/lfs/(\w+)", ("PUT",), Handler.lfs_put),
    (r"/lfs/(\w+)/verify", ("POST",), Handler.lfs_verify),
    (rf"/api/models/{NAME}/commit/(.+)", ("POST",), Handler.commit),
    (rf"/api/models/{NAME}/tree/([^/]+)/?", ("GET",), Handler.tree),
    (rf"/api/models/{NAME}/revision/([^/]+)", ("GET",), Handler.info),
    (rf"/api/models/{NAME}", ("GET",), Handler.info),
    (rf"/{NAME}/resolve/([^/]+)/(.+)", ("GET", "HEAD"), Handler.resolve),
]
