"""What can reach the output: the positive linear copy of a network, and the paths that survive."""

__all__: list[str] = []
