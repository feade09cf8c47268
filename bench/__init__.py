"""What the gateway costs and saves, always against something that is measured in the same run (see README.md)."""
