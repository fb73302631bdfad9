"""What layout an array has, for the tests of what strategies draw."""


def layout_of(a):
    """The layout that shows in the strides and flags of an array."""
    if a.size < 2:
        return "small"
    if any(s == 0 and n > 1 for s, n in zip(a.strides, a.shape)):
        return "zero-stride"
    if any(s < 0 for s, n in zip(a.strides, a.shape) if n > 1):
        return "negative"
    if not a.flags.writeable:
        return "readonly"
    if a.flags.c_contiguous:
        return "C"
    return "F" if a.flags.f_contiguous else "sliced"
