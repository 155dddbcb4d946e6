"""The node agent: runs the pods bound to its node on the node's Docker Engine and tells the API the truth about them."""
