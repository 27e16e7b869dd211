"""What was measured: scans, sampling, geometry. Reads no files and computes no images."""
