"""Freezing parts of a network while others train, with the proof that they stayed as they were."""

import hashlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import nn

from dadsp.errors import FreezeError

log = logging.getLogger(__name__)


@contextmanager
def frozen(stage: str, parts: Mapping[str, nn.Module]) -> Iterator[None]:
    """Takes the parts out of training inside the ``with`` block; their hashes before and after are logged.

    Args:
        stage: Named in the log and in errors.
        parts: Modules by name; all their parameters train again afterwards.

    Raises:
        FreezeError: A part is no longer what it was.
    """
    before = {name: weights_hash(part) for name, part in parts.items()}
    _let_train(parts, False)
    try:
        yield
    finally:
        _let_train(parts, True)
    after = {name: weights_hash(part) for name, part in parts.items()}
    for name in parts:
        log.info("%s: %s frozen, hash %s before and %s after", stage, name, before[name], after[name])
    changed = [name for name in parts if before[name] != after[name]]
    if changed:
        raise FreezeError(
            f"Stage {stage} changed {', '.join(changed)}, which it must leave alone. A training state of another run may "
            "lie in this one's checkpoints: delete them and train again."
        )


def weights_hash(part: nn.Module) -> str:
    """Hash of all weights and buffers of a module, by name and value."""
    digest = hashlib.blake2b(digest_size=8)
    for name, value in part.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _let_train(parts: Mapping[str, nn.Module], trains: bool) -> None:
    for part in parts.values():
        part.requires_grad_(trains)
