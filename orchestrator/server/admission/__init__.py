"""What may be written and what is filled in on the way: a chain of admission plugins, one file per link."""
