"""A model and its heat map as one ONNX graph."""

from xiqa.export.onnx import export_model

__all__ = ["export_model"]
