"""Scans that nobody measured: drawn anatomy, receive coils, noise."""
