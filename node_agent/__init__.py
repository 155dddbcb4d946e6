"""The node agent: runs the pods of its node on the node's Docker Engine and tells the API the truth about them."""
