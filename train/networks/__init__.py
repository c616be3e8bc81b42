"""Networks by name, rebuilt from the metadata of their weights.

Another package lists its own families in the entry-point group ``codecproof.networks``: subclasses of ``Kind``.
"""

from train.networks.kinds import Kind
from train.networks.network import ModelError, Network

__all__ = ["Kind", "ModelError", "Network"]
