"""REST, and the document of all paths that the client of version 5 asks for first."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs

from cryosparc.dataset import Dataset  # type: ignore[import-not-found]
from handler import MIME, Handler
from instance import EMAIL, TOKEN, Refused

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
