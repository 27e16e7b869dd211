"""Group priors: how they are trained, kept in a file, judged and adapted; the presets."""
