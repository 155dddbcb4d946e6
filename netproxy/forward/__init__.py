"""The data path: processes of their own that listen on service addresses and move bytes."""
