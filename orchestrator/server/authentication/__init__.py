"""Who is asking: a chain of authenticators, one file per link."""
