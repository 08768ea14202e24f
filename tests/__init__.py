"""System-independent helpers shared by tests."""
