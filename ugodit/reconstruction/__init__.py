"""The use case: from a volume to images."""
