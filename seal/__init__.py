"""What a reward model really learned from human preferences."""
