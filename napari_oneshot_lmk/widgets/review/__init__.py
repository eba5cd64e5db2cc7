"""The dock step "Review": which image is next, and what one correction moves."""
