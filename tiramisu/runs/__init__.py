"""Runs side by side: what was trained with which settings, and which model is better."""
