"""A pod's volumes as directories of the node."""
