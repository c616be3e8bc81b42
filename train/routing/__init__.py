"""Several networks and a rule that chooses among them by the bitstream's header or by the pictures."""

from train.routing.exported import Onnx, export
from train.routing.router import OTHERWISE, NoExpert, Router

__all__ = ["OTHERWISE", "NoExpert", "Onnx", "Router", "export"]
