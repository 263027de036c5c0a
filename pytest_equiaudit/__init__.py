"""The pytest plugin: every audit that runs inside a test is recorded, reported and held against a baseline."""
