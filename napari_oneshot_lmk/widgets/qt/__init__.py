"""Qt parts and threads that know nothing of landmarks."""
