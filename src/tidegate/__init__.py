"""tidegate: real-time network telemetry and control."""

__version__ = "0.1.0"
__all__ = ["__version__"]
