"""Where and why: the first broken layer, what to suspect."""
