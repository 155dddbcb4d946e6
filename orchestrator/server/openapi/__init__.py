"""What the API tells clients of its kinds' schemas and operations: OpenAPI v3 by group, and v2 as one document."""
