"""The options of the command line that several commands share, or that need many words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import recipe, runs
from .models import ZOO
from .shapes import LARGEST

MODELS, DATA_SETS, DEVICES = "|".join(ZOO), "|".join(runs.DATA), "cpu|cuda|reference"
AS_FILE = "by default as the weights file says."
Model = Annotated[str, typer.Option(metavar=MODELS, help="The network.")]
Data = Annotated[str, typer.Option(metavar=DATA_SETS, help="What it is to learn.")]
FileModel = Annotated[str | None, typer.Option(metavar=MODELS, help=f"The network; {AS_FILE}")]
FileData = Annotated[str | None, typer.Option(metavar=DATA_SETS, help=f"The data set; {AS_FILE}")]
Epochs = Annotated[int, typer.Option(min=1, max=LARGEST, help="How often to go through the data.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Examples taken at a time.")]
Optimizer = Annotated[
    str,
    typer.Option(metavar="|".join(recipe.LEARNING_RATE), help="How a gradient becomes a step."),
]
LearningRate = Annotated[
    float | None,
    typer.Option(
        help="The highest learning rate; by default what suits the optimizer: "
        + ", ".join(f"{name} {rate:g}" for name, rate in recipe.LEARNING_RATE.items())
    ),
]
Momentum = Annotated[
    float | None, typer.Option(help=f"For sgd alone; by default {recipe.MOMENTUM}.")
]
Schedule = Annotated[
    str,
    typer.Option(
        metavar="one-cycle|constant",
        help="Let the learning rate rise and fall once, or keep it.",
    ),
]
Shift = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Move training pictures at random by up to so many pixels; by default 2, "
        "or 0 for a network without convolutions.",
    ),
]
Augment = Annotated[
    bool,
    typer.Option(
        "--augment",
        help="Mirror every other training picture too, and move them by up to 4 pixels unless "
        "--shift says otherwise; for cifar10 and fashion-mnist.",
    ),
]
Device = Annotated[
    str,
    typer.Option(metavar=DEVICES, help="All cores, an NVIDIA GPU, or plain Python (slow)."),
]
ConvSizes = Annotated[
    tuple[int, int, int, int, int, int] | None,
    typer.Option("--conv", metavar="N C H W K k", help="Explain the choice for a convolution."),
]
ConvGeometry = Annotated[
    list[int] | None,
    typer.Argument(metavar="[STRIDE [PADDING]]", help="Of --conv; by default 1 and 0."),
]
Seed = Annotated[int, typer.Option(min=0, help="Decides whatever is drawn at random.")]
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Write all that the training needs to go on to this folder, after each epoch.",
    ),
]
Every = Annotated[
    int | None,
    typer.Option(min=1, metavar="STEPS", help="Write a checkpoint after so many steps instead."),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on from the newest checkpoint in that folder, if there is one; all other options "
        "must be as they were.",
    ),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Use the first N examples only.")]
Output = Annotated[
    Path | None, typer.Option(help="Folder for the results; by default runs/MODEL-DATA.")
]
