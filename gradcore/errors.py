"""Errors that say what came, what was expected, and what to do."""


class GradcoreError(Exception):
    """Base of every error that gradcore raises on purpose."""


class ShapeError(GradcoreError, ValueError):
    """Shapes that do not fit: the message states them and what would fit."""


class DtypeError(GradcoreError, TypeError):
    """A dtype that the operation does not take."""


class GraphError(GradcoreError, RuntimeError):
    """A backward pass that the recorded graph cannot give."""


class DomainError(GradcoreError, ValueError):
    """A value outside what the operation is defined for, such as a label out of range."""


class SpecError(GradcoreError, TypeError):
    """A registration without a usable spec: the message shows what to write."""


class DataError(GradcoreError, ValueError):
    """A data set that is missing, truncated, mislabelled or empty."""


class ModelFileError(GradcoreError, ValueError):
    """A model file that is damaged, or none of ours."""


class StateError(GradcoreError, ValueError):
    """A saved state whose names, shapes or dtypes are not those of what it is loaded into: the message lists them all."""


class OutputError(GradcoreError, OSError):
    """A file or folder that can't be written."""


class MissingExtraError(GradcoreError, ImportError):
    """A library that is not installed, or can't be imported: the message says how to install it."""


class DivergenceError(GradcoreError, ArithmeticError):
    """A training loss that is no longer finite: the message names the first op that was not."""
