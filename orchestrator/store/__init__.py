"""Where objects live: one protocol with its promises, and its implementations."""
