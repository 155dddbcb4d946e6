"""The links of the chain that answers a question."""
