"""A small seeded world of dialogues with planted features, preferences and reward models (README.md)."""
