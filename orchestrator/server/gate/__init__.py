"""Who is answered when: how important a request is, a seat while it is answered, its body, and what is kept of it."""
