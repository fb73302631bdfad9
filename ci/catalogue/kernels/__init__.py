"""Kernels in low precision, right ones and the same with one defect each."""

from ci.catalogue.kernels import attention, gathers, losses, norms, products

KERNELS = (*norms.KERNELS, *attention.KERNELS, *losses.KERNELS, *gathers.KERNELS, *products.KERNELS)
