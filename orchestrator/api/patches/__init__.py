"""The three ways to patch an object: JSON Patch, JSON Merge Patch and Kubernetes' strategic merge patch."""

from __future__ import annotations


class BadPatch(ValueError):
    """The patch makes no sense as sent: a 400. The message is Kubernetes'."""


class PatchRejected(BadPatch):
    """A well-formed patch that does not fit this object (a path that is not there, a test that fails): a 422."""


class PatchTooLarge(BadPatch):
    """The patch has, or makes, more than we handle: a 413."""
