"""Kernels in low precision: their values and gradients against a reference in float64, within what rounding must do."""
