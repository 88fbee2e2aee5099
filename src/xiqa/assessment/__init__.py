"""Images and a model in, verdicts with their evidence out."""

from xiqa.assessment.pipeline import assess, explain

__all__ = ["assess", "explain"]
