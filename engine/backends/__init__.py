"""What runs a model. Each module here imports its heavy package when it is first used."""
