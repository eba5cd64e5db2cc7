"""What a person does with found landmarks, and what comes of it."""
