"""The theorems: bounds as data, the steps of their proofs, what rests on what."""

__all__: list[str] = []
