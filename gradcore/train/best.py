"""The model with the lowest test loss, kept beside the last one."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from gradcore.errors import ModelFileError, OutputError, StateError
from gradcore.io import load_tensors, parse_json, save_tensors
from gradcore.state import check_state
from gradcore.train.checkpoints import BEST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from gradcore.nn.module import Module
    from gradcore.train.checkpoints import Checkpoints

_KEY = "gradcore-best"


class Best:
    """The best model so far: a copy in memory, and the file `best.safetensors`.

    The file is written before the checkpoint of its epoch: where the process is killed between the two, the epoch is
    run again and gives the same model.
    """

    def __init__(self, folder: Path, tell: Callable[[str], object]) -> None:
        self.path = folder / BEST
        self.tell = tell
        self.loss = math.inf
        self._tensors: dict[str, NDArray[Any]] | None = None
        self._metadata: dict[str, str] = {}
        self._written = True

    def offer(self, model: Module, record: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
        """Take the model after an epoch with this record, if its test loss is the lowest yet."""
        loss = record.get("test_loss", math.inf)
        if loss < self.loss:
            self.loss = loss
            about = json.dumps({"epoch": record["epoch"], "test_loss": loss})
            self._tensors, self._metadata, self._written = (
                model.state_dict(),
                {**metadata, _KEY: about},
                False,
            )

    def save(self, checkpoints: Checkpoints) -> bool:
        """Write the file if it has not been yet; whether that worked. The first failure is told."""
        if self._written or self._tensors is None:
            return True
        try:
            save_tensors(self.path, self._tensors, self._metadata)
        except OutputError as error:
            checkpoints.failed(error)
            return False
        self._written = True
        return True

    def rescue(self, folder: Path) -> None:
        """Write the file into another folder."""
        if self._tensors is not None:
            save_tensors(folder / BEST, self._tensors, self._metadata)

    def load(self, model: Module, expected: bool) -> None:
        """Take over the file. expected: whether there must be one; if it is missing or damaged, that is told."""
        if not expected and not self.path.exists():
            return
        own = model._state_arrays()
        try:
            tensors, metadata = load_tensors(
                self.path,
                check=lambda found, _: check_state(own, found, f"{self.path} does not fit the model"),
            )
            loss = parse_json(metadata.get(_KEY, ""))["test_loss"]
            loss.hex()  # an AttributeError for anything but a float
        except (ModelFileError, StateError, ValueError, KeyError, TypeError, AttributeError) as error:
            self.tell(
                f"The best model so far can't be read: {error}. The best one of the epochs to come is kept"
            )
            return
        self.loss, self._tensors, self._metadata, self._written = loss, tensors, metadata, True
