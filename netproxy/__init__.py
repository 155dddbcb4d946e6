"""Wherry's kube-proxy and cluster DNS: service addresses and names, on every node."""
