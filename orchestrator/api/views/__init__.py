"""Views: frozen structs with just the fields a component reads, decoded straight from an object's bytes."""
