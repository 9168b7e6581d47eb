"""What a user touches: symbolic values, specs, array functions, compiled functions, transforms."""
