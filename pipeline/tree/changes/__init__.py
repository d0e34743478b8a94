"""What an event changes of what is known. ``transitions`` is the way in, and has the table; a file a subject."""
