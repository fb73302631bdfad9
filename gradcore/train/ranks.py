"""Whether a Trainer's steps are those of one process or of ranks that share each batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradcore.errors import DomainError
from gradcore.train.steps import Alone

if TYPE_CHECKING:
    from gradcore.distributed import Communicator
    from gradcore.train.steps import Ranks, Trained


def ranks_of(
    trainer: Trained, communicator: Communicator | None, sync_batch_norm: bool, capture: bool
) -> Ranks:
    """The ranks of a communicator that has several, and this process alone otherwise."""
    if communicator is not None:
        from gradcore.train.together import Together  # loaded where it is needed

        together = Together(trainer, communicator, sync_batch_norm)
        if together.size > 1:
            if capture:
                raise DomainError(
                    "Trainer got capture=True with several ranks: only one process captures a step"
                )
            return together
    return Alone(trainer, capture)
