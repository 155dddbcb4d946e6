"""Who may do what: a chain of authorizers, one file per link."""
