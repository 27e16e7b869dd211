"""Forward models: how an image becomes measurements."""

from ugodit.operators.protocol import LinearOperator, Operator
from ugodit.operators.sense import SenseOperator

__all__ = ["LinearOperator", "Operator", "SenseOperator"]
