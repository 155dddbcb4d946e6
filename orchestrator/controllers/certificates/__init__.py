"""Nodes' certificate signing requests: approved if they ask for no more than a node may have, then signed."""
