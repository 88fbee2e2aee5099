"""What runs a model: PyTorch, or an exported graph on ONNX Runtime or OpenVINO.

The contract is `xiqa.assessment.runtime`; `torch` and `onnx` keep it.
"""
