"""The dock step "Evaluate": found points compared with reference points."""
