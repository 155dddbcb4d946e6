"""What `kubectl get` shows: for each kind its columns, each a pure function from an object to a cell."""
