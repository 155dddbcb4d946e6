"""Cluster DNS: names of services and their endpoints from memory, everything else from the node's own resolvers."""
