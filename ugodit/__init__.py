"""Accelerated multi-coil MRI reconstruction without clean training data."""
