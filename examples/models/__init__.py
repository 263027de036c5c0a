"""Small models of the kinds that people train, as they would be written."""
