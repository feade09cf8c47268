"""The live index: what is known of the whole registry, and every change of it in order."""
