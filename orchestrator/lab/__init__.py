"""Several real nodes on one machine: namespaces, links, engines, images, and what keeps them running."""
