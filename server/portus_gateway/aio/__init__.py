"""Building blocks for asyncio: deadlines, shared work, work that is not broken off."""
