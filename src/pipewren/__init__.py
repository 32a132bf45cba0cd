"""Pipewren: self-hosted API endpoints from SQL."""

__version__ = "0.1.0"
__all__ = ["__version__"]
