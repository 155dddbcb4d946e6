"""A pod from its spec to its containers and back to its status: decisions in pure functions, one task a pod to act."""
