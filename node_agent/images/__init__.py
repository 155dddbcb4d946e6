"""Images: fetched when a container needs them, removed when the disk needs the room."""
