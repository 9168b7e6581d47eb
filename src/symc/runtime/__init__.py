"""Runs programs: encoding, the native executable and its errors, the disk cache."""
