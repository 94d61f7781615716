"""A user's model: where its weights are, running it without changing it, reading it from files."""

__all__: list[str] = []
