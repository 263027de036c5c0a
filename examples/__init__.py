"""Worked examples; ``python -m examples.demo`` runs the main one."""
