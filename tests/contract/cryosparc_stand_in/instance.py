"""What the stand-in remembers, and what it demands of outputs, whichever version it speaks."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

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
