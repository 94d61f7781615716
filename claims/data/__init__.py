"""Data of the claims: real digits that need no network, tasks with known answers, readers of standard files."""
