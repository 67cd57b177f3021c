"""A stand-in for a CryoSPARC server, on the loopback: for the real client libraries 4.7.1 and 5.0.3 to talk to.

It is NOT CryoSPARC. It was written from the source of the client libraries: what they send and expect is real, how a
server would answer to it is not known beyond that. Its own check is the one that users have met on real servers: an
output must have every required field with the right name, type and shape (a reply of a 4.7 server: "422 Invalid
dataset; missing the following required fields: {('location/micrograph_shape', '<u4', (2,))}").

Version 4 speaks JSON-RPC on three ports (base + 2, 3, 5), version 5 REST on the base port; the client of 5 takes all
paths and verbs from the server's ``/openapi.json``, so those here are our own.

Runs in the environment of the client library, for its ``Dataset``: python cryosparc_stand_in.py VERSION PORT FOLDER.
FOLDER has ``exposures.cs``, what job J2 puts out as ``exposures``; it gets ``state.json`` after every request, and the
saved outputs as ``J3_picks.cs``. Project P1 has its folder at FOLDER/project.
"""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryosparc.dataset import Dataset  # type: ignore[import-not-found]

LICENSE, EMAIL, PASSWORD, TOKEN = "a" * 8 + "-1111-2222-3333-" + "b" * 12, "me@example.com", "secret", "token"
REQUIRED = {
    "location": [
        ("micrograph_uid", "<u8"),
        ("exp_group_id", "<u4"),
        ("micrograph_path", "|O"),
        ("micrograph_shape", "<u4", (2,)),
        ("center_x_frac", "<f4"),
        ("center_y_frac", "<f4"),
    ],
    "pick_stats": [("ncc_score", "<f4"), ("power", "<f4"), ("template_idx", "<u4"), ("angle_rad", "<f4")],
}
MIME = "application/x-cryosparc-dataset"


class Refused(Exception):
    """An answer other than success: HTTP status and sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Instance:
    """What the server remembers: jobs with their status, log, inputs and outputs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.exposures = Dataset.load(folder / "exposures.cs")
        self.jobs: dict[str, dict[str, Any]] = {"J2": self._new_job(outputs={"exposures": []}, status="completed")}
        self.lock = threading.Lock()

    @staticmethod
    def _new_job(**values: Any) -> dict[str, Any]:
        return {
            "status": "building",
            "title": "",
            "log": [],
            "inputs": {},
            "outputs": {},
            "plots": 0,
            "error": "",
        } | values

    def job(self, uid: str) -> dict[str, Any]:
        if uid not in self.jobs:
            raise Refused(404, f"job {uid} not found")
        return self.jobs[uid]

    def create(self, project: str, workspace: str, title: str) -> str:
        if (project, workspace) != ("P1", "W1"):
            raise Refused(404, f"no workspace {project}-{workspace}")
        uid = f"J{len(self.jobs) + 2}"
        self.jobs[uid] = self._new_job(title=title)
        return uid

    def connect(self, uid: str, target: str, source: str, output: str, slots: list[Any]) -> None:
        if output not in self.job(source)["outputs"]:
            raise Refused(422, f"{source} has no output {output}")
        known = {field.split("/")[0] for field in self.exposures}
        missing = [slot for slot in slots if slot not in known]
        if missing:
            raise Refused(422, f"{source}.{output} has no slots {missing}")
        self.job(uid)["inputs"][target] = {"source": [source, output], "slots": slots}

    def add_output(self, uid: str, name: str, type_: str, slots: list[str]) -> None:
        if self.job(uid)["status"] in ("completed", "failed"):
            raise Refused(409, "outputs cannot be added once the job is completed")
        if type_ != "particle" or set(slots) - set(REQUIRED):
            raise Refused(422, f"unknown slots {slots} of {type_}")
        self.job(uid)["outputs"][name] = list(slots)

    def load_input(self, uid: str, name: str, slots: list[str]) -> Any:
        if name not in self.job(uid)["inputs"]:
            raise Refused(404, f"no input {name}")
        return Dataset({f: self.exposures[f] for f in self.exposures if f == "uid" or f.split("/")[0] in slots})

    def save_output(self, uid: str, name: str, dataset: Any) -> None:
        job = self.job(uid)
        if job["status"] not in ("running", "waiting"):
            raise Refused(409, f"job {uid} is {job['status']}: outputs can be saved while it runs")
        if name not in job["outputs"]:
            raise Refused(404, f"no output {name}")
        found = {tuple(map(as_hashable, field)) for field in dataset.descr()}
        required = {(f"{slot}/{field}", *rest) for slot in job["outputs"][name] for field, *rest in REQUIRED[slot]}
        if required - found:
            raise Refused(422, f"Invalid dataset; missing the following required fields: {required - found}")
        dataset.save(self.folder / f"{uid}_{name}.cs")

    def set_status(self, uid: str, status: str, error: str = "") -> None:
        job = self.job(uid)
        if status == "running" and job["status"] in ("running", "waiting"):
            raise Refused(409, f"job {uid} is running already")
        job["status"], job["error"] = status, error

    def remember(self) -> None:
        (self.folder / "state.json").write_text(json.dumps(self.jobs))


def as_hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


class Handler(BaseHTTPRequestHandler):
    """What both versions share: reading a request, answering it."""

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


class Version4(Handler):
    """JSON-RPC, as cryosparc-tools 4.7.1 speaks it."""

    def route(self, path: str, query: dict[str, str], body: bytes) -> None:
        if self.headers.get("License-ID") != LICENSE:
            raise Refused(401, "wrong license")
        if path == "/api":
            call = json.loads(body)
            try:
                result = getattr(self, "rpc_" + call["method"].replace(".", "_"))(call["params"])
                self.answer(200, {"result": result, "id": call["id"]})
            except Refused as refusal:
                error = {"name": "ServerError", "code": refusal.status, "message": str(refusal), "data": {}}
                self.answer(200, {"error": error, "id": call["id"]})
        elif path == "/load_job_input":
            asked = json.loads(body)
            self.answer_dataset(self.instance.load_input(asked["job_uid"], asked["input_name"], asked["slots"]))
        elif path.startswith("/external/"):
            _, _, project, _, job, _, output, kind = path[1:].split("/")
            assert (project, kind) == ("P1", "dataset")
            self.instance.save_output(job, output, Dataset.load(BytesIO(body)))
            self.answer(200, {})
        elif path.endswith("/files"):
            assert body[:4] == b"\x89PNG" and query["format"] == "png"
            self.answer(200, {"fileid": "f", "filename": query["filename"], "filetype": "image/png"})
        else:
            raise Refused(404, path)

    def rpc_system_describe(self, _: Any) -> Any:
        return {"procs": [{"name": name[4:]} for name in dir(self) if name.startswith("rpc_")]}

    def rpc_get_id_by_email_password(self, params: list[str]) -> str:
        if params != [EMAIL, PASSWORD]:
            raise Refused(401, "wrong email or password")
        return "user"

    def rpc_get_running_version(self, _: Any) -> str:
        return "v4.7.1"

    def rpc_get_project(self, params: list[str]) -> Any:
        if params[0] != "P1":
            raise Refused(404, f"no project {params[0]}")
        return {"uid": "P1"}

    def rpc_get_project_dir_abs(self, _: Any) -> str:
        return str(self.instance.folder / "project")

    def rpc_get_job(self, params: list[str]) -> Any:
        job = self.instance.job(params[1])
        return {
            "uid": params[1],
            "job_type": "snowflake",
            "status": job["status"],
            "input_slot_groups": [{"name": name} for name in job["inputs"]],
            "output_result_groups": [{"name": name} for name in job["outputs"]],
        }

    def rpc_create_external_job(self, params: dict[str, str]) -> str:
        return self.instance.create(params["project_uid"], params["workspace_uid"], params["title"])

    def rpc_connect_external_job(self, p: dict[str, Any]) -> None:
        self.instance.connect(
            p["target_job_uid"], p["target_input"], p["source_job_uid"], p["source_output"], p["slots"]
        )

    def rpc_add_external_job_output(self, params: dict[str, Any]) -> None:
        self.instance.add_output(params["job_uid"], params["name"], params["type"], params["slots"])

    def rpc_run_external_job(self, params: list[str]) -> None:
        self.instance.set_status(params[1], params[2])

    def rpc_set_job_status(self, params: list[str]) -> None:
        self.instance.set_status(params[1], params[2])

    def rpc_job_send_streamlog(self, params: dict[str, Any]) -> str:
        job = self.instance.job(params["job_uid"])
        job["log"].append(["error" if params.get("error") else "text", params["message"]])
        job["plots"] += len(params.get("imgfiles", []))
        return "event"


def endpoint(name: str, answer: str, *query: str, body: str = "") -> dict[str, Any]:
    """Return one entry of the openapi document; ``answer`` is a model, ``dataset`` or ``any``."""
    contents = {"dataset": {MIME: {}}, "any": {"application/json": {"schema": {}}}}
    model = {"application/json": {"schema": {"$ref": f"#/components/schemas/{answer}"}}}
    success = {"content": contents.get(answer, model)}
    refused = {"content": {"application/json": {"schema": {}}}}
    path = [{"name": part[1:-1], "in": "path", "required": True} for part in PATHS[name].split("/") if part[:1] == "{"]
    entry = {
        "summary": name,
        "parameters": path + [{"name": part, "in": "query", "required": False} for part in query],
        "responses": {"200" if answer == "Token" else "201": success, **dict.fromkeys(("404", "409", "422"), refused)},
    }
    return entry | ({"requestBody": {"content": {body: {"schema": {}}}}} if body else {})


JOB = "/p/{project_uid}/j/{job_uid}"
PATHS = {
    "login": "/login",
    "users.me": "/me",
    "config.get_version": "/version",
    "projects.find_one": "/p/{project_uid}",
    "projects.get_directory": "/p/{project_uid}/dir",
    "jobs.create": "/p/{project_uid}/w/{workspace_uid}/create",
    "jobs.find_one": JOB,
    "jobs.add_external_input": JOB + "/add_input/{name}",
    "jobs.connect": JOB + "/connect/{name}",
    "jobs.add_external_output": JOB + "/add_output/{name}",
    "jobs.mark_running": JOB + "/running",
    "jobs.mark_completed": JOB + "/completed",
    "jobs.mark_failed": JOB + "/failed",
    "jobs.load_input": JOB + "/load/{name}",
    "jobs.save_output": JOB + "/save/{name}",
    "jobs.add_event_log": JOB + "/log",
    "jobs.add_image_log": JOB + "/image_log",
    "assets.upload": JOB + "/asset",
}
AS_JSON = "application/json"


class Version5(Handler):
    """REST, as cryosparc-tools 5.0.3 speaks it."""

    success = 201

    def route(self, path: str, query: dict[str, str], body: bytes) -> None:
        path = path.removeprefix("/api/cmd")
        if path == "/openapi.json":
            return self.answer(200, self.document())
        if path == "/login":
            form = parse_qs(body.decode())
            if form["username"] != [EMAIL] or len(form["password"][0]) != 64:
                raise Refused(422, "wrong email or password")
            return self.answer(200, {"access_token": TOKEN, "token_type": "bearer"})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise Refused(422, "not logged in")
        words = path[1:].split("/")
        if words[:1] == ["me"]:
            return self.answer(201, {"name": "me", "first_name": "M", "last_name": "E"})
        if words[:1] == ["version"]:
            return self.answer(201, "v5.0.3")
        if words[1] != "P1":
            raise Refused(404, f"no project {words[1]}")
        if words[2:] == []:
            return self.answer(201, PROJECT)
        if words[2:] == ["dir"]:
            return self.answer(201, str(self.instance.folder / "project"))
        if words[2] == "w":
            return self.answer(201, self.model(self.instance.create(words[1], words[3], query["title"])))
        return self.job_route(words[3], words[4:], query, body)

    def job_route(self, uid: str, words: list[str], query: dict[str, str], body: bytes) -> None:
        instance, job, action = self.instance, self.instance.job(uid), words[0] if words else "find"
        if action == "load":
            slots = json.loads(body) if body else query["slots"]
            return self.answer_dataset(instance.load_input(uid, words[1], slots))
        if action == "asset":
            assert body[:4] == b"\x89PNG"
            return self.answer(201, {"fileid": "f", "filename": query["filename"], "filetype": query["format"]})
        if action in ("log", "image_log"):
            text = json.loads(body) if action == "log" else query["text"]
            job["log"].append([query.get("type", "text"), text])
            job["plots"] += action == "image_log"
            event = {"project_uid": "P1", "job_uid": uid, "type": "text", "text": text}
            return self.answer(201, event)
        if action == "add_input":
            job["inputs"][words[1]] = {"slots": [slot["name"] for slot in json.loads(body)["slots"]]}
        elif action == "connect":
            slots = job["inputs"][words[1]]["slots"]
            instance.connect(uid, words[1], query["source_job_uid"], query["source_output_name"], slots)
        elif action == "add_output":
            spec = json.loads(body)
            instance.add_output(uid, words[1], spec["type"], [slot["name"] for slot in spec["slots"]])
        elif action == "save":
            instance.save_output(uid, words[1], Dataset.load(BytesIO(body)))
        elif action in ("running", "completed", "failed"):
            instance.set_status(uid, action, query.get("error", ""))
        return self.answer(201, self.model(uid))

    def document(self) -> dict[str, Any]:
        """Return the openapi document."""
        posts = [
            endpoint("login", "Token", body="application/x-www-form-urlencoded"),
            endpoint("jobs.create", "Job", "type", "title", "description"),
            endpoint("jobs.add_external_input", "Job", body=AS_JSON),
            endpoint("jobs.connect", "Job", "source_job_uid", "source_output_name"),
            endpoint("jobs.add_external_output", "Job", body=AS_JSON),
            endpoint("jobs.mark_running", "Job", "status"),
            endpoint("jobs.mark_completed", "Job"),
            endpoint("jobs.mark_failed", "Job", "error"),
            endpoint("jobs.save_output", "Job", "version", body=MIME),
            endpoint("jobs.add_event_log", "TextEvent", "type", body=AS_JSON),
            endpoint("jobs.add_image_log", "TextEvent", "text", "flags", body=AS_JSON),
            endpoint("assets.upload", "GridFSAsset", "filename", "format", body="application/octet-stream"),
            endpoint("jobs.load_input", "dataset", body=AS_JSON),
        ]
        posts[-1]["requestBody"]["content"][AS_JSON]["schema"] = {"title": "Slots"}
        gets = [
            endpoint("users.me", "User"),
            endpoint("config.get_version", "any"),
            endpoint("projects.find_one", "Project"),
            endpoint("projects.get_directory", "any"),
            endpoint("jobs.find_one", "Job"),
        ]
        entries = [("post", entry) for entry in posts] + [("get", entry) for entry in gets]
        paths: dict[str, Any] = {}
        for verb, entry in entries:
            paths.setdefault(PATHS[entry["summary"]], {})[verb] = entry
        return {"info": {}, "components": {}, "paths": paths}

    def model(self, uid: str) -> dict[str, Any]:
        """Return a job as the client's own model of it wants it."""
        job = self.instance.job(uid)
        spec = {
            "type": "snowflake",
            "inputs": {
                name: {"type": "exposure", "title": name, "count_min": 1, "count_max": "inf"} for name in job["inputs"]
            },
            "outputs": {
                name: {"type": "particle" if slots else "exposure", "title": name}
                for name, slots in job["outputs"].items()
            },
            "ui_tile_width": 1,
            "ui_tile_height": 1,
            "resource_spec": {},
        }
        return {
            "uid": uid,
            "project_uid": "P1",
            "spec": spec,
            "status": job["status"],
            "job_dir": uid,
            "job_dir_size_last_updated": "2026-01-01T00:00:00Z",
            "uid_num": int(uid[1:]),
            "project_uid_num": 1,
            "status_num": 0,
            "build_errors": [],
        }


PROJECT: dict[str, Any] = {
    "uid": "P1",
    "title": "P",
    "project_dir": "/p",
    "owner_user_id": "u",
    "uid_num": 1,
    "size_last_updated": "2026-01-01T00:00:00Z",
}


def main() -> None:
    """Serve until killed."""
    version, port, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    handler = Version4 if version.startswith("4") else Version5
    handler.instance = Instance(folder)
    ports = [port + 2, port + 3, port + 5] if handler is Version4 else [port]
    servers = [ThreadingHTTPServer(("127.0.0.1", number), handler) for number in ports]
    for server in servers[1:]:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    servers[0].serve_forever()


if __name__ == "__main__":
    main()
