"""A BLAS in whose steps alone time goes by: what stands for the real one in the tests of threads."""


class Library:
    """Stands for threadpoolctl's controller of one BLAS library; `seconds` is what a step takes at each number."""

    def __init__(self, number=4):
        self.number, self.seconds, self.now, self.used = number, {1: 0.01, number: 0.004}, 0.0, []

    def info(self):
        return [{"num_threads": self.number}]

    def limit(self, *, limits):
        return Limit(self, limits)

    def clock(self):
        return self.now

    def step(self, *_):
        self.used.append(self.number)
        self.now += self.seconds[self.number]


class Limit:
    def __init__(self, library, number):
        self.library, self.before = library, library.number
        library.number = number

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.library.number = self.before
