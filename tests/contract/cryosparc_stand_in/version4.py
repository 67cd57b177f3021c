"""JSON-RPC on three ports."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

from cryosparc.dataset import Dataset  # type: ignore[import-not-found]
from handler import Handler
from instance import EMAIL, LICENSE, PASSWORD, Refused


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
