"""The cluster's CA, as a ConfigMap in every namespace."""
