"""When a training writes checkpoints, and how it goes on from one."""

from __future__ import annotations

import os
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .checkpoint_folder import Checkpoint, CheckpointFolder
from .shapes import as_count
from .training_settings import differences
from .training_state import Training, restore, state_of

__all__ = ["Keeper"]

Folder = str | os.PathLike


class Keeper:
    """Writes the checkpoints of one training, and brings it to where an earlier one was.

    Parameters
    ----------
    checkpoint : path, optional
        Folder to write to; by default that of `resume`.
    every : int, optional
        Steps of the optimizer between two checkpoints; by default an epoch, or what the
        checkpoint says.
    keep : int
        How many are kept.
    resume : path or bool
        Folder to go on from. True means that of `checkpoint`, if there is a checkpoint in it.

    Raises
    ------
    ValueError, TypeError
        For arguments that don't go together.
    """

    def __init__(
        self,
        checkpoint: Folder | None,
        every: int | None = None,
        keep: int = 3,
        resume: Folder | bool = False,
    ) -> None:
        if resume is True and checkpoint is None:
            raise ValueError("resume=True needs checkpoint=, the folder to go on from")
        self.may_begin = resume is True
        source = checkpoint if resume is True else resume or None  # a folder, or none
        target = source if checkpoint is None else checkpoint
        assert target is not None and not isinstance(source, bool)
        self.every = None if every is None else as_count(every, "every")
        self.target = CheckpointFolder(target, as_count(keep, "keep"))
        self.source: CheckpointFolder | None = None
        if source is not None:
            same = Path(source).resolve() == self.target.path.resolve()
            self.source = self.target if same else CheckpointFolder(source)
        self.settings: dict[str, Any] = {}
        self.fresh = True  # nothing in the folder is of this training

    def begin(self, training: Training, settings: dict[str, Any]) -> list[dict[str, Any] | None]:
        """Go on from the newest checkpoint, if that is wanted.

        Parameters
        ----------
        training : Training
        settings : dict
            What decides it; that of the checkpoint must be the same.

        Returns
        -------
        list of (dict or None)
            What each callback goes on with; None where it begins.

        Raises
        ------
        FileNotFoundError
            If there is nothing to go on from.
        FileExistsError
            If the folder to write to has another training's checkpoints.
        OSError, ValueError
            If the folder can't be written to; if no checkpoint is whole, or it is that of
            another training.
        """
        self.settings = settings
        _need_state(training.movers.scheduler)
        found = self.source.newest() if self.source else None
        if self.source and found is None and not self.may_begin:
            raise FileNotFoundError(
                f"there is no checkpoint in {self.source.path}; "
                f"fit(checkpoint=...) without resume= begins a training"
            )
        if found is None or self.source is not self.target:
            self._refuse_others()
        states: list[dict[str, Any] | None] = []
        if found is not None:
            states = self._go_on(training, found)
        self.target.prepare()
        self.fresh = found is None or self.source is not self.target
        return states

    def before_first(self, training: Training) -> None:
        """Write the first checkpoint of the folder, once all callbacks have begun.

        So a disk that is full or can't be written to is found out now, not after an epoch.
        """
        if self.fresh:
            self.write(training)

    def after_batch(self, training: Training) -> None:
        """Write a checkpoint if it is time; at the end of an epoch that comes after it."""
        due = self.every is not None and training.step % self.every == 0
        if due and training.batch < len(training.loader):
            self.write(training)

    def after_epoch(self, training: Training, last: bool) -> None:
        """Write a checkpoint if it is time, or the training is over."""
        if last or self.every is None or training.step % self.every == 0:
            self.write(training)

    def write(self, training: Training) -> None:
        """Write a checkpoint."""
        arrays, state = state_of(training)
        content = {
            "numcnn": version("numcnn"),
            "device": training.model.device.name,
            "every": self.every,
            "settings": self.settings,
        }
        self.target.write(Checkpoint(training.step, arrays, content | state))

    def _refuse_others(self) -> None:
        if steps := self.target.steps():
            raise FileExistsError(
                f"{self.target.path} has checkpoints up to step {steps[-1]}: resume= goes on from "
                f"them; to begin anew, name another folder or delete them"
            )

    def _go_on(self, training: Training, found: Checkpoint) -> list[dict[str, Any] | None]:
        assert self.source is not None
        place = f"step {found.step} in {self.source.path}"
        if different := differences(found.content.get("settings"), self.settings):
            listed = "\n  ".join(different)
            raise ValueError(
                f"the checkpoint of {place} is another training's, nothing was loaded:\n  {listed}"
            )
        states = restore(training, found.arrays, found.content)
        for what, now in (("numcnn", version("numcnn")), ("device", training.model.device.name)):
            if (then := found.content.get(what)) != now:
                warnings.warn(
                    f"the checkpoint of {place} was written with {what} {then}, and "
                    f"this is {now}; the last bits of what follows may differ",
                    stacklevel=5,
                )
        if self.every is None:
            self.every = found.content.get("every")
        epoch, batches = training.epoch + 1, len(training.loader)
        training.watchers.progress.say(
            f"going on after {place}"
            + (f": epoch {epoch}, batch {training.batch} of {batches}" if training.batch else "")
        )
        return states


def _need_state(scheduler: Any) -> None:
    """Refuse a scheduler that would begin anew where a training goes on."""
    lacking = [each for each in ("state_dict", "load_state_dict") if not hasattr(scheduler, each)]
    if scheduler is not None and lacking:
        raise TypeError(
            f"{type(scheduler).__name__} has no {' and no '.join(lacking)}, so a checkpoint "
            f"couldn't hold where it stands; give it both, as numcnn's schedulers have them"
        )
