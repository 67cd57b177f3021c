"""The job's memory and its order; what it leaves is tested through the command, in ``cli``."""

from __future__ import annotations

import time
import weakref
from concurrent.futures import ThreadPoolExecutor as Pool
from dataclasses import replace
from pathlib import Path
from threading import Lock

import numpy as np
import pytest

from relion_attn_picker.errors import InputError, JobAborted
from relion_attn_picker.imaging.prepare import NetworkImage
from relion_attn_picker.inference.answers import NetworkAnswer
from relion_attn_picker.io.candidates import CandidateStore
from relion_attn_picker.io.folder_lock import hold_folder
from relion_attn_picker.io.mrc import write_image
from relion_attn_picker.jobs.picking import job as picking_job
from relion_attn_picker.jobs.picking import session as picking_session
from relion_attn_picker.jobs.picking.job import PREPARED_AHEAD, JobSettings, PickJob, share_threads
from relion_attn_picker.jobs.picking.request import PickingRequest
from relion_attn_picker.jobs.picking.session import run_picking_job
from relion_attn_picker.micrograph import Micrograph, OpticsGroup
from relion_attn_picker.model_spec import Calibration, CheckpointHeader, ModelSpec
from relion_attn_picker.options import InferenceOptions, PickOptions
from relion_attn_picker.picks import FloatArray, ProbabilityMap
from relion_attn_picker.relion.job import JobDirectory
from tests.conftest import hold_elsewhere

OPTICS = OpticsGroup(1, "opticsGroup1", 4.0)
OPTIONS = PickOptions(particle_diameter=100)


class CountingPredictor:
    """Finds one particle at (10, 20) of every image, and counts the prepared images that are alive."""

    precision = "float32"

    def __init__(self) -> None:
        self.header = CheckpointHeader(ModelSpec("attention", 8), 24.0, calibration=Calibration(0.5, "by hand"))
        self.alive = self.most_alive = 0
        self._lock = Lock()

    def prepare(self, image: FloatArray, pixel_size: float, particle_diameter: float) -> NetworkImage:
        """Hand the image on, counted until it is freed."""
        prepared = NetworkImage(image.copy(), pixel_size)
        weakref.finalize(prepared, self._count, -1)
        self._count(1)
        return prepared

    def predict(self, image: NetworkImage) -> ProbabilityMap:
        """Return one peak, after the next micrographs have had time to be prepared."""
        time.sleep(0.01)
        values = np.zeros(image.values.shape, np.float32)
        values[6:15, 16:25] = 0.9
        return ProbabilityMap(values, image.pixel_size)

    def answer(self, image: NetworkImage) -> NetworkAnswer:
        """Answer as a network alone does."""
        return NetworkAnswer(self.predict(image))

    def _count(self, change: int) -> None:
        with self._lock:
            self.alive += change
            self.most_alive = max(self.most_alive, self.alive)


@pytest.fixture
def micrographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Micrograph]:
    """Thirty names of one small image."""
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "0.mrc", np.random.default_rng(1).normal(size=(64, 80)).astype(np.float32), 4.0)
    for number in range(1, 30):
        (tmp_path / f"{number}.mrc").hardlink_to(tmp_path / "0.mrc")
    return [Micrograph(f"{number}.mrc", OPTICS) for number in range(30)]


def make_job(micrographs: list[Micrograph], predictor: CountingPredictor) -> PickJob:
    return PickJob(JobDirectory.open("job"), micrographs, Path(), predictor, JobSettings(OPTIONS, "digest", "auto"))


def make_request(micrographs: list[Micrograph], gpu: str = "cpu") -> PickingRequest:
    Path("none.safetensors").write_bytes(b"")
    return PickingRequest(
        micrographs=micrographs,
        project_dir=Path(),
        micrographs_star="micrographs.star",
        weights=Path("none.safetensors"),
        options=OPTIONS,
        inference=InferenceOptions(gpu=gpu, threads=16),
    )


def test_order_is_that_of_the_list(micrographs: list[Micrograph]) -> None:
    shuffled = micrographs[::-1]
    results = list(make_job(shuffled, CountingPredictor()).run())
    assert [result.micrograph for result in results] == shuffled
    assert {result.n_picks for result in results} == {1}
    assert {round(result.mean_score, 2) for result in results} == {0.9}


def test_images_in_memory_do_not_grow_with_the_list(micrographs: list[Micrograph]) -> None:
    predictor = CountingPredictor()
    for _ in make_job(micrographs, predictor).run():
        assert predictor.alive <= PREPARED_AHEAD + 1
    assert 1 < predictor.most_alive <= PREPARED_AHEAD + 1
    assert predictor.alive == 0


def test_next_images_are_prepared_before_they_are_needed(micrographs: list[Micrograph]) -> None:
    predictor = CountingPredictor()
    run = make_job(micrographs, predictor).run()
    next(run)
    time.sleep(0.2)
    assert predictor.alive == PREPARED_AHEAD
    run.close()


@pytest.mark.parametrize(
    ("threads", "on_gpu", "expected"),
    [
        (1, False, (2, 1)),
        (16, False, (2, 16)),
        (1, True, (2, 1)),
        (4, True, (2, 2)),
        (8, True, (4, 2)),
        (16, True, (8, 2)),
        (64, True, (8, 2)),
    ],
)
def test_threads_prepare_images_while_a_gpu_looks(threads: int, on_gpu: bool, expected: tuple[int, int]) -> None:
    share = share_threads(threads, on_gpu)
    assert (share.preparers, share.threads_each) == expected


def test_as_many_images_are_prepared_as_there_are_preparers(micrographs: list[Micrograph]) -> None:
    predictor = CountingPredictor()
    settings = JobSettings(OPTIONS, "digest", "auto")
    job = PickJob(JobDirectory.open("job"), micrographs, Path(), predictor, settings, preparers=6)
    run = job.run()
    next(run)
    time.sleep(0.2)
    assert predictor.alive == 6
    run.close()


def test_session_takes_its_preparers_from_the_options(
    micrographs: list[Micrograph], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[int] = []
    most: list[int] = []

    def load(path: Path, inference: InferenceOptions) -> CountingPredictor:
        loaded.append(inference.threads)
        return CountingPredictor()

    monkeypatch.setattr(picking_session, "is_on_gpu", lambda gpu: gpu == "0")
    monkeypatch.setattr(picking_session, "load_predictor", load)
    monkeypatch.setattr(picking_job, "ThreadPoolExecutor", lambda max_workers: (most.append(max_workers), Pool(1))[1])
    for gpu in ("cpu", "0"):
        request = make_request(micrographs[:2], gpu)
        session = picking_session.PickingSession(JobDirectory.open(f"job_{gpu}"), request)
        session.pick(micrographs[:2], lambda number, result: None, lambda: False)
    assert (loaded, most) == ([16, 2], [2, 8])


def test_rounds_of_a_session_tell_a_header_that_contradicts_once(
    micrographs: list[Micrograph], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A night's session has a thousand rounds."""
    monkeypatch.setattr(picking_session, "load_predictor", lambda path, inference: CountingPredictor())
    other = [Micrograph(each.name, OpticsGroup(1, "opticsGroup1", 8.0)) for each in micrographs[:6]]
    session = picking_session.PickingSession(JobDirectory.open("job"), make_request(other))
    for count in (1, 2, 3, 6):
        session.pick(other[:count], lambda number, result: None, lambda: False, more_to_come=True)
    assert [record.getMessage() for record in caplog.records if "header says" in record.getMessage()] == [
        "0.mrc: its header says 4 Å per pixel; the STAR file, or --pixel_size, says 8 and is believed."
    ]


def test_end_of_a_session_tells_of_the_list_as_it_is_then(
    micrographs: list[Micrograph], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images of a pattern may be moved away, and new ones may lie between the old."""
    monkeypatch.setattr(picking_session, "load_predictor", lambda path, inference: CountingPredictor())
    session = picking_session.PickingSession(JobDirectory.open("job"), make_request(micrographs))
    for wanted in ([1, 2, 4], [2, 3, 4]):
        listed = [micrographs[number] for number in wanted]
        session.pick(listed, lambda number, result: None, lambda: False, more_to_come=True)
    assert [result.micrograph for result in session.finish().results] == listed


def test_diameter_is_checked_where_a_job_begins(micrographs: list[Micrograph], monkeypatch: pytest.MonkeyPatch) -> None:
    """Not when it goes on, whichever micrograph failed; with another diameter it begins anew."""
    checked: list[float] = []
    monkeypatch.setattr(picking_session, "load_predictor", lambda path, inference: CountingPredictor())
    monkeypatch.setattr(
        picking_session, "warn_of_another_diameter", lambda micrographs, folder, diameter, *_: checked.append(diameter)
    )
    Path("0.mrc").unlink()
    request = make_request(micrographs[:2])
    for diameter in (100, 100, 50, 50):
        request = replace(request, options=PickOptions(particle_diameter=diameter))
        run_picking_job(JobDirectory.open("job"), request)
    assert checked == [100, 50]


def test_folder_that_another_process_picks_into(micrographs: list[Micrograph], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picking_session, "load_predictor", lambda path, inference: CountingPredictor())
    job, request = JobDirectory.open("job"), make_request(micrographs[:2])
    with hold_elsewhere(job.path) as holder:
        with pytest.raises(InputError, match=f"is being worked in by process {holder.pid} on "):
            run_picking_job(job, request, lambda number, result: None, lambda: False)
        assert [path.name for path in job.path.iterdir()] == [".attnpick.lock"]
        holder.communicate("")
    with hold_folder(job.path):  # as the command does: a process does not refuse itself
        assert len(run_picking_job(job, request, lambda number, result: None, lambda: False).results) == 2


def test_stop_is_asked_before_each_micrograph(micrographs: list[Micrograph]) -> None:
    answers = iter([False, False, False, True])
    results = []
    with pytest.raises(JobAborted, match="asked to stop"):
        for result in make_job(micrographs, CountingPredictor()).run(lambda: next(answers)):
            results.append(result)
    assert len(results) == 3
    again = make_job(micrographs, CountingPredictor())
    assert [result.skipped for result in again.run()] == [True] * 3 + [False] * 27


def test_continue_reads_no_candidates_of_what_is_done(
    micrographs: list[Micrograph], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = list(make_job(micrographs, CountingPredictor()).run())
    again = make_job(micrographs, CountingPredictor())
    monkeypatch.setattr(CandidateStore, "read", lambda *_: pytest.fail("candidates are read"))
    results = list(again.run())
    assert [(each.n_picks, each.mean_score) for each in results] == [(each.n_picks, each.mean_score) for each in done]
    assert all(each.skipped and each.rejected is not None and not len(each.rejected) for each in results)
    assert again.select_again(results) == results
    assert [each.n_picks for each in again.earlier_results(micrographs)] == [each.n_picks for each in results]


def test_not_all_that_is_done_is_searched_before_the_first_is_told(
    micrographs: list[Micrograph], monkeypatch: pytest.MonkeyPatch
) -> None:
    list(make_job(micrographs[:25], CountingPredictor()).run())
    searched: list[str] = []
    is_changed = picking_job.is_changed
    monkeypatch.setattr(picking_job, "is_changed", lambda path, *_: searched.append(path.name) or is_changed(path, *_))
    monkeypatch.setattr(picking_job, "LOOK_AHEAD", 5)
    run = make_job(micrographs, CountingPredictor()).run()
    assert next(run).skipped
    assert searched == [each.name for each in micrographs[:6]]
    assert [result.skipped for result in run] == [True] * 24 + [False] * 5
    assert searched == [each.name for each in micrographs[:25]]


def test_error_of_one_micrograph_is_its_reason(micrographs: list[Micrograph]) -> None:
    Path("3.mrc").unlink()
    results = list(make_job(micrographs, CountingPredictor()).run())
    assert [result.micrograph.name for result in results if result.reason] == ["3.mrc"]
    assert "There is no micrograph at 3.mrc" in str(results[3].reason)


def test_map_belongs_to_the_micrograph_as_it_is_listed() -> None:
    """Fingerprints differ with all that the candidates depend on, and only with that."""
    micrograph = Micrograph("a.mrc", OPTICS)
    plain = JobSettings(OPTIONS, "digest", "auto")
    same = [JobSettings(PickOptions(particle_diameter=100, threshold=0.7, border=3, max_picks=2), "digest", "auto")]
    others = [
        JobSettings(PickOptions(particle_diameter=101), "digest", "auto"),
        JobSettings(PickOptions(particle_diameter=100, min_distance=1), "digest", "auto"),
        JobSettings(PickOptions(particle_diameter=100, threshold=0.01), "digest", "auto"),
        JobSettings(OPTIONS, "other", "auto"),
        JobSettings(OPTIONS, "digest", "float32"),
        JobSettings(OPTIONS, "digest", "auto", write_maps=True),
    ]
    found = plain.found_with(micrograph)
    assert [settings.found_with(micrograph) == found for settings in same] == [True]
    assert all(settings.found_with(micrograph) != found for settings in others)
    assert plain.found_with(Micrograph("a.mrc", OpticsGroup(1, "x", 4.1))) != found
    assert same[0].selected_with() != plain.selected_with()


def test_names_that_share_a_file_are_refused(micrographs: list[Micrograph]) -> None:
    with pytest.raises(InputError, match="same coordinate file"):
        make_job([Micrograph("a.mrc", OPTICS), Micrograph("a.mrcs", OPTICS)], CountingPredictor())
