"""Posteriors of Gaussian mixtures: the steps that the label-noise claims rest on."""

__all__: list[str] = []
