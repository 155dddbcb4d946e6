"""Publishes the Endpoints that users write for services without a selector as EndpointSlices."""
