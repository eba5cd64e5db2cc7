"""Training on one annotated template and unlabelled images."""
