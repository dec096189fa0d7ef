"""The evaluation as a whole: what is protected, attacked, measured and told."""
