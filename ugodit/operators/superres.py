"""Super-resolution: the measured photograph is a shrunk one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ugodit.data.degradations import check_factor
from ugodit.data.resizing import matrix_like, resize, resize_matrix
from ugodit.operators.photograph import LinearPhotographOperator, checked_fields
from ugodit.operators.photograph_noise import filled
from ugodit.operators.photograph_solve import per_item, solve


@dataclass(frozen=True, repr=False, kw_only=True)
class SuperresOperator(LinearPhotographOperator):
    """A x = D_h x D_w^T: antialiased bicubic shrinking by 2, 3, 4 or 8 (`data/resizing.py`). Norm below 1.

    A A^T = (D_h D_h^T) (x) (D_w D_w^T) acts on the small image and has the eigenvectors U_h (x) U_w, so that
    argmin_x |A x - y|^2 + mu |x - u|^2 = u + A^T (A A^T + mu)^-1 (y - A u) is a few small products of matrices. The
    eigenvalues of D D^T are between 0.4 and 1 times 1 / factor: no measured number is nearly lost, and mu may be 0.
    """

    rows: Tensor
    """D_h, (h, H)."""
    row_vectors: Tensor
    """U_h, (h, h): columns are the eigenvectors of D_h D_h^T."""
    row_values: Tensor
    """(h,): its eigenvalues."""
    columns: Tensor
    """D_w, (w, W)."""
    column_vectors: Tensor
    """U_w, (w, w)."""
    column_values: Tensor
    """(w,)"""

    shared: ClassVar[frozenset[str]] = frozenset(
        ("rows", "row_vectors", "row_values", "columns", "column_vectors", "column_values")
    )

    @classmethod
    def from_measurements(cls, measurements: Tensor, factor: int = 4, sigma: float | None = None) -> Self:
        """Of shrunk images, float (B, 1 or 3, h, w); the restored ones have (factor h, factor w) pixels.

        sigma: standard deviation of their noise, in their unit; None: to be estimated. ValueError for a tensor that is
        no batch of images, InputError for a factor that there is not, or NaN.
        """
        check_factor(factor)
        fields = checked_fields(measurements, sigma)
        for name, length in (("row", measurements.shape[-2]), ("column", measurements.shape[-1])):
            matrix, vectors, values = _axis(length, factor)
            fields[f"{name}s"] = matrix_like(matrix, measurements)
            fields[f"{name}_vectors"] = matrix_like(vectors, measurements)
            fields[f"{name}_values"] = matrix_like(values, measurements)
        return cls(**fields)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(B, channels, H, W) of the images, which are larger than the measurements."""
        items, channels = self.measurements.shape[:2]
        return items, channels, self.rows.shape[1], self.columns.shape[1]

    def unmasked(self, image: Tensor) -> Tensor:
        return self.rows @ image @ self.columns.T

    def unmasked_adjoint(self, measurements: Tensor) -> Tensor:
        return self.rows.T @ measurements @ self.columns

    def initial(self) -> Tensor:
        """The measurements enlarged by bicubic interpolation."""
        return resize(filled(self.measurements, self.weights), *self.shape[2:])

    def proximal(self, image: Tensor, mu: Tensor | float, iterations: int) -> Tensor:
        """The formula; of a split, by so many conjugate gradients among the pixels of the small image."""
        mu = per_item(mu, image)
        residual = -self.residual(image)
        if self.weights is not None:
            solved = solve(self._gram, residual, torch.zeros_like(residual), mu, iterations)
            return image + self.adjoint(solved)
        spectrum = self.row_vectors.T @ residual @ self.column_vectors
        spectrum = spectrum / (self.row_values[:, None] * self.column_values + mu)
        return image + self.adjoint(self.row_vectors @ spectrum @ self.column_vectors.T)

    def _gram(self, measurements: Tensor) -> Tensor:
        """A A^T y, without the way through the large image."""
        rows, columns = self.rows @ self.rows.T, self.columns @ self.columns.T
        return self.masked(rows @ self.masked(measurements) @ columns)


@lru_cache(maxsize=8)
def _axis(length: int, factor: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """D (length, factor length), and eigenvectors and eigenvalues of D D^T: half a second for a length of 1024."""
    matrix = resize_matrix(factor * length, length)
    values, vectors = np.linalg.eigh(matrix @ matrix.T)
    return matrix, vectors, values
