"""`seal compare`: how far each model agrees with the people."""
