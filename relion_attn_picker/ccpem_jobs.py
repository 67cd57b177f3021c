"""The three jobs as native ones of ccpem-pipeliner and Doppio, which find them by this package's entry points.

What this module does not do: it runs nothing itself. Each class turns the fields of a form into the command line of the
RELION job of the same purpose. Only ccpem-pipeliner imports it (the extra ``ccpem``).
"""

from __future__ import annotations

from typing import Any, Final

from pipeliner.job_options import (
    FileDescription,
    FloatJobOption,
    InputNodeJobOption,
    IntJobOption,
    JobOption,
    JobOptionValidationResult,
    StringJobOption,
)
from pipeliner.nodes import (
    NODE_LOGFILE,
    NODE_MICROGRAPHCOORDSGROUP,
    NODE_MICROGRAPHGROUPMETADATA,
    NODE_MLMODEL,
    NODE_PARTICLEGROUPMETADATA,
)
from pipeliner.pipeliner_job import ExternalProgram, PipelinerCommand, PipelinerJob

from relion_attn_picker import __version__
from relion_attn_picker.errors import InputError
from relion_attn_picker.options import MODES, NETWORKS, VARIANTS, PickOptions
from relion_attn_picker.relion.labels import INDEX_FILE, LOGFILE, MODEL_FILE

OWN: Final = "attnpick"
"""Keyword of what these jobs make."""

CUTS: Final = ("threshold", "mode", "target_precision")
"""Options that choose which candidates become picks: at most one of them is given."""

DIAMETER_HELP: Final = "Diameter of the particle in Å, along its longest side. It sets the scale of everything."


class AttnpickJob(PipelinerJob):  # type: ignore[misc]
    """What the three jobs share: a program, its ``--o``, and a field for each option that is filled in.

    Subclasses name the ``PROGRAM`` and ``own_options``, the keys of the options that go onto its command line.
    """

    PROGRAM = ""
    own_options: tuple[str, ...] = ()
    OUT_DIR = "AutoPick"
    CATEGORY_LABEL = "Automated Particle Picking"

    def __init__(self) -> None:
        super().__init__()
        self.jobinfo.programs = [ExternalProgram(self.PROGRAM)]
        self.jobinfo.version = __version__
        self.jobinfo.job_author = "attnpick"
        self.can_continue = True

    def add_threads(self) -> None:
        """Add the number of CPU threads and the tab of the queue, as RELION's jobs have them."""
        self.joboptions["nr_threads"] = IntJobOption(
            label="Number of threads:", default_value=1, hard_min=1, in_continue=True, help_text="CPU threads."
        )
        self.get_runtab_options(addtl_args=True)

    def add_coordinate_nodes(self) -> None:
        """Say what a picking job leaves for Extract and for the eye."""
        self.add_output_node(INDEX_FILE, NODE_MICROGRAPHCOORDSGROUP, [OWN, "autopick"])
        self.add_output_node(LOGFILE, NODE_LOGFILE, [OWN, "autopick"])

    def additional_joboption_validation(self) -> list[JobOptionValidationResult]:
        """Refuse a threshold, mode or target that the program would refuse, in the same words."""
        names = [name for name in CUTS if name in self.own_options and self.joboptions[name].get_string()]
        given = {name: self.joboptions[name] for name in names}
        cut: dict[str, Any] = {
            name: option.get_string() if name == "mode" else option.get_number() for name, option in given.items()
        }
        try:
            PickOptions(particle_diameter=100.0, **cut)  # any diameter: the cut alone is looked at
        except InputError as error:
            return [JobOptionValidationResult("error", list(given.values()), str(error))]
        return []

    def get_commands(self) -> list[PipelinerCommand]:
        """Return the one command."""
        command = [self.PROGRAM, "--o", self.output_dir]
        for name, option in self.joboptions.items():
            if name in self.own_options and option.get_string():
                command += [f"--{name}", option.get_string()]
        if "nr_threads" in self.joboptions:
            command += ["--j", self.joboptions["nr_threads"].get_string()]
        return [PipelinerCommand(command + self.parse_additional_args())]


def micrographs_option() -> InputNodeJobOption:
    """Return the field for the list of micrographs."""
    return InputNodeJobOption(
        label="Input micrographs:",
        node_type=NODE_MICROGRAPHGROUPMETADATA,
        node_kwds=["relion"],
        default_value="",
        pattern=FileDescription("Micrographs STAR file", [".star"]),
        help_text="STAR file of the micrographs, as Motion correction, CTF estimation or Import write it.",
        is_required=True,
    )


def coordinates_option(label: str, help_text: str, *, is_required: bool) -> InputNodeJobOption:
    """Return a field for coordinates."""
    return InputNodeJobOption(
        label=label,
        node_type=NODE_MICROGRAPHCOORDSGROUP,
        default_value="",
        pattern=FileDescription("Coordinates STAR file", [".star"]),
        help_text=help_text,
        is_required=is_required,
    )


def weights_option(help_text: str) -> InputNodeJobOption:
    """Return the field for weights of a training job."""
    return InputNodeJobOption(
        label="Weights:",
        node_type=NODE_MLMODEL,
        node_kwds=[OWN],
        default_value="",
        pattern=FileDescription("Weights", [".safetensors", ".json"]),
        help_text=help_text,
        is_required=False,
    )


def diameter_option() -> FloatJobOption:
    """Return the field for the diameter."""
    return FloatJobOption(
        label="Particle diameter (Å):", default_value=None, hard_min=10, help_text=DIAMETER_HELP, is_required=True
    )


def number_option(label: str, help_text: str) -> FloatJobOption:
    """Return the field for a number that may be left out, and changed when the job is continued."""
    return FloatJobOption(label=label, default_value=None, help_text=help_text, in_continue=True, is_required=False)


def cut_options() -> dict[str, JobOption]:
    """Return the fields of ``CUTS``; a field's own limits are allowed values, so that only the job can check these."""
    return {
        "threshold": number_option(
            "Threshold:", "Lowest figure of merit of a pick, above 0 and below 1. Empty: chosen from all scores."
        ),
        "mode": StringJobOption(
            label="What the threshold favours:",
            default_value="",
            validation_regex=f"^({'|'.join(MODES)})?$",
            regex_error_message=f"Must be {', '.join(MODES)}, or empty",
            help_text="precision (clean particles for a map), balanced, or recall (a complete survey), where no "
            "threshold is given. Empty: balanced.",
            in_continue=True,
        ),
        "target_precision": number_option(
            "Target precision:", "Instead of both: the share of right picks to expect, such as 0.9."
        ),
    }


def variant_option(names: tuple[str, ...], help_text: str) -> StringJobOption:
    """Return the field for the network, or for both together."""
    return StringJobOption(
        label="Network:",
        default_value="",
        validation_regex=f"^({'|'.join(names)})?$",
        regex_error_message=f"Must be {', '.join(names)}, or empty",
        help_text=help_text,
    )


def gpu_option() -> StringJobOption:
    """Return the field for the GPU."""
    return StringJobOption(
        label="GPU:", default_value="auto", help_text="auto (a GPU if there is one), cpu, or a GPU's number."
    )


class AttnpickAutopick(AttnpickJob):
    """Picking."""

    PROCESS_NAME = "attnpick.autopick"
    PROGRAM = "attnpick-external"
    own_options = ("in_mics", "diameter", *CUTS, "weights", "variant", "gpu")

    def __init__(self) -> None:
        super().__init__()
        self.jobinfo.display_name = "attnpick picking"
        self.jobinfo.short_desc = "Pick particles with an Attention U-Net"
        self.jobinfo.long_desc = "A network of one known scale looks at each micrograph; only the diameter is needed."
        self.joboptions["in_mics"] = micrographs_option()
        self.joboptions["diameter"] = diameter_option()
        self.joboptions |= cut_options()
        self.joboptions["weights"] = weights_option(
            "best.safetensors of a training job, or calibration.json of a hybrid. Empty: the released ones."
        )
        self.joboptions["variant"] = variant_option(
            VARIANTS,
            "attention, standard, or hybrid: both, in twice the time. Empty: attention, or that of your weights.",
        )
        self.joboptions["gpu"] = gpu_option()
        self.add_threads()

    def create_output_nodes(self) -> None:
        """Say what the job leaves."""
        self.add_coordinate_nodes()


class AttnpickSelect(AttnpickJob):
    """Cutting an earlier picking job at another threshold."""

    PROCESS_NAME = "attnpick.autopick.select"
    PROGRAM = "attnpick-select-external"
    own_options = ("in_coords", *CUTS)

    def __init__(self) -> None:
        super().__init__()
        self.jobinfo.display_name = "attnpick selection"
        self.jobinfo.short_desc = "Cut picks of attnpick at another threshold"
        self.jobinfo.long_desc = "Uses the candidates that a picking job kept; no image is read."
        self.joboptions["in_coords"] = coordinates_option(
            "Picks of attnpick:", "autopick.star of a picking job of attnpick.", is_required=True
        )
        self.joboptions |= cut_options()
        self.get_runtab_options(addtl_args=True)

    def create_output_nodes(self) -> None:
        """Say what the job leaves."""
        self.add_coordinate_nodes()


class AttnpickTrain(AttnpickJob):
    """Training."""

    PROCESS_NAME = "attnpick.autopick.train"
    PROGRAM = "attnpick-train-external"
    own_options = ("in_mics", "in_coords", "in_parts", "diameter", "weights", "variant", "hold_out", "steps", "gpu")

    def __init__(self) -> None:
        super().__init__()
        self.jobinfo.display_name = "attnpick training"
        self.jobinfo.short_desc = "Make the network better for one's own particle"
        self.jobinfo.long_desc = "Learns from manual picks, or from the particles that a 2D classification kept."
        self.joboptions["in_mics"] = micrographs_option()
        self.joboptions["in_coords"] = coordinates_option(
            "Input coordinates:", "Picks to learn from; or give particles.", is_required=False
        )
        self.joboptions["in_parts"] = InputNodeJobOption(
            label="Input particles:",
            node_type=NODE_PARTICLEGROUPMETADATA,
            node_kwds=["relion"],
            default_value="",
            pattern=FileDescription("Particles STAR file", [".star"]),
            help_text="Particles to learn from, as Select leaves them after Class2D; or give coordinates.",
            is_required=False,
        )
        self.joboptions["diameter"] = diameter_option()
        self.joboptions["weights"] = weights_option("Weights to begin with. Empty: the released ones.")
        self.joboptions["variant"] = variant_option(
            NETWORKS, "Which of the released weights to begin with. Empty: attention, or that of your weights."
        )
        self.joboptions["hold_out"] = IntJobOption(
            label="Micrographs held out:",
            default_value=None,
            hard_min=1,
            help_text="The last so many labelled micrographs judge the training. Empty: a fifth, at most 24.",
            is_required=False,
        )
        self.joboptions["steps"] = IntJobOption(
            label="Steps at most:", default_value=None, hard_min=1, help_text="Empty: 240.", is_required=False
        )
        self.joboptions["gpu"] = gpu_option()
        self.add_threads()

    def create_output_nodes(self) -> None:
        """Say what the job leaves."""
        self.add_output_node(MODEL_FILE, NODE_MLMODEL, [OWN])
        self.add_output_node(LOGFILE, NODE_LOGFILE, [OWN])
