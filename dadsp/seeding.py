"""Named sub-seeds, so that no random consumer shares a stream with another and none uses global state."""

import hashlib


def derive_seed(root: int, *names: str | int) -> int:
    """A seed for one named random consumer.

    Args:
        root: The run's seed; 0 is a seed like any other.
        names: Path of the consumer, e.g. ``("batches", epoch)``.

    Returns:
        Integer in [0, 2**63), the same on every platform and Python version.
    """
    digest = hashlib.blake2b("\x1f".join(map(str, (root, *names))).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
