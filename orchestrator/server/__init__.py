"""The API server: validated bytes in a store, a watch cache in front, the Kubernetes API on the wire."""
