"""Inner products straight from the features: a pass over them per choice, and no neurons × neurons matrix."""

import torch
from torch import Tensor


class FeatureProducts:
    """The products a selection asks for, each computed when it is asked for.

    **Arguments**

    - `features`: (neurons, points) float. `target`: (points,) float.

    Cost: one product of the features with a vector per `column`.

    Example:
        >>> FeatureProducts(torch.eye(2), torch.ones(2)).column(1).tolist()
        [0.0, 1.0]
    """

    def __init__(self, features: Tensor, target: Tensor) -> None:
        self.features, self.target = features, target
        self.correlation = features @ target
        self.diagonal = torch.einsum("ij,ij->i", features, features)
        self.energy = float(target.double().square().sum())

    def column(self, neuron: int) -> Tensor:
        """Inner products ⟨Φ_i, Φ_neuron⟩ with every neuron i, (neurons,).

        Example:
            >>> FeatureProducts(torch.eye(2), torch.ones(2)).column(0).tolist()
            [1.0, 0.0]
        """
        return self.features @ self.features[neuron]
