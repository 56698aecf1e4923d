"""What can be learned from a project, and the command that does it; no Qt."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

STEPS = 150
PHANTOM_SHARE = 0.25
PRESETS = {"published": "As published", "evidence": "By the evidence", "quick": "Quick, CPU"}
PUBLISHED, QUICK, AUTO = "published", "quick", "auto"
BOTH_STAGES = ""
METHODS = {
    BOTH_STAGES: "VpbSD, teacher first",
    "vpbsd": "VpbSD, teacher as it is",
    "vpbsd-without-codes": "VpbSD without codes",
    "vpbsd-without-pseudo": "VpbSD without pseudo-labels",
    "hint-and-pseudo": "Hint and pseudo-labels",
    "kd": "KD",
    "fitnets": "FitNets",
    "vid": "VID",
    "ab": "AB",
    "mean-teacher": "Mean Teacher",
    "ua-mt": "UA-MT",
    "entropy": "Entropy minimisation",
    "baseline": "Baseline, labels alone",
}
"""How a new student is taught, by the command line's names; the first fine-tunes the teacher before."""


class Goal(Enum):
    """What to learn."""

    FINETUNE = "Fine-tune the student"
    TEACH = "Teach a new student (VpbSD)"
    TUNE = "Fine-tune a teacher"
    PRETRAIN = "Pretrain a new teacher"


TIPS = {
    Goal.FINETUNE: "Goes on with the student in use: minutes",
    Goal.TEACH: "A teacher learns from the accepted blocks, then teaches a student on the whole image",
    Goal.TUNE: "A teacher learns from the accepted blocks; no student is taught yet",
    Goal.PRETRAIN: "A teacher learns the patterns of the whole image into its codebook, without labels",
}
DOES = {
    Goal.FINETUNE: "Learn from the accepted blocks",
    Goal.TEACH: "Fine-tune a teacher on the accepted blocks, then let it teach a new student",
    Goal.TUNE: "Fine-tune a teacher on the accepted blocks; it is then found under Teacher",
    Goal.PRETRAIN: "Pretrain a teacher on the image; it is then found under Teacher",
}
KINDS = {
    Goal.FINETUNE: "finetune",
    Goal.TEACH: "distill",
    Goal.TUNE: "finetune",
    Goal.PRETRAIN: "pretrain",
}


@dataclass(frozen=True)
class LearnForm:
    """What the user chose.

    Attributes
    ----------
    steps : int
    phantom_share : float
        Share of the patches that come from phantoms, 0..1: against forgetting.
    goal : Goal
        What to learn; steps and phantoms belong to the first, the preset to all others, the teacher to the
        second and third, the method to the second.
    preset : str
        One of `PRESETS`.
    teacher : str
        Name of the teacher to begin with, or "auto".
    method : str
        One of `METHODS`.
    """

    steps: int = STEPS
    phantom_share: float = PHANTOM_SHARE
    goal: Goal = Goal.FINETUNE
    preset: str = QUICK
    teacher: str = AUTO
    method: str = BOTH_STAGES

    @property
    def staged(self) -> bool:
        """Whether it is a stage of VpbSD, with a preset."""
        return self.goal is not Goal.FINETUNE

    @property
    def kind(self) -> str:
        """What run folders of this goal are called, as in finetune-001."""
        return KINDS[self.goal]

    @property
    def does(self) -> str:
        """What Start does, for its tooltip."""
        if self.goal is Goal.TEACH and self.method:
            return f"Teach a new student by {METHODS[self.method]}, from the accepted blocks"
        return DOES[self.goal]


def arguments(project: Path, form: LearnForm, run: Path | None = None) -> list[str]:
    """Return the words after ``vesselkd`` that learn as `form` says; `run` is the run folder."""
    words = [form.kind, str(project), *(["--out", str(run)] if run is not None else [])]
    if form.staged:
        words += ["--preset", form.preset]
        if form.goal is Goal.TEACH:
            words += ["--teacher", form.teacher] if form.teacher != AUTO else []
            words += ["--method", form.method] if form.method else []
        return words + (["--from", form.teacher] if form.goal is Goal.TUNE else [])
    defaults = LearnForm()
    words += ["--set", f"steps={form.steps}"] if form.steps != defaults.steps else []
    if form.phantom_share != defaults.phantom_share:
        words += ["--set", f"phantom_share={form.phantom_share:g}"]
    return words
