"""Data of the claims: real digits that need no network, controlled tasks with known answers, readers of standard files."""
