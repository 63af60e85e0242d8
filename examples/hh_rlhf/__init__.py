"""A study on real pairs with real, small models: fine-tuned here, in minutes, on two cores."""
