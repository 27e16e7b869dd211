"""Forward models: how an image becomes measurements."""

from .protocol import LinearOperator, Operator
from .sense import SenseOperator

__all__ = ["LinearOperator", "Operator", "SenseOperator"]
