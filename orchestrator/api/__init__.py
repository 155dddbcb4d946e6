"""What an API object is: identities, schemas, rules, patches and views. Pure: no I/O, no clock."""
