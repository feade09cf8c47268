"""Building blocks for asyncio: deadlines, shared work, and work that is completed in spite of a cancellation."""
