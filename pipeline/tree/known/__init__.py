"""What the tree knows, and what of it leaves the tree. Nothing here decides what an event means."""
