"""What `deploy` and `destroy` have in common."""
