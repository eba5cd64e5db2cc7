"""The dock "Train model" and the trainings that it starts and follows."""
