"""Everything that touches a text or a model: datasets in, rewards and labels out."""
