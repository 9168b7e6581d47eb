"""Derivatives of functions as functions: forward rules, and their transposes."""
