"""Tiramisu."""
