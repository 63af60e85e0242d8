"""Everything that turns scores and labels into estimates; knows no model."""
