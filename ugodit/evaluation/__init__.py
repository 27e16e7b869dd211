"""How good an image is: metrics, baselines to compare with, pictures and tables."""
