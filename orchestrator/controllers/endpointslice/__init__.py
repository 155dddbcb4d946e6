"""Publishes the addresses behind every service: EndpointSlices, and Endpoints for those who still read them."""
