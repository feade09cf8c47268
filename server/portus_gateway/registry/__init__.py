"""What is asked of a registry, and the decorators around it."""
