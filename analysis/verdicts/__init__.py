"""Verdicts on hand-derived gradients: which line is wrong, why, and the mended line, shown to be right."""
