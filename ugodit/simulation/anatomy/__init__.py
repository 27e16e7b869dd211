"""Drawings of anatomy for simulated scans: random fields and shapes, and a knee and a brain made of them."""
