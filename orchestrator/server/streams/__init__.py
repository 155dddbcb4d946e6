"""What is decided about a request to a node before anything is dialled: which container, which agent, which options."""
