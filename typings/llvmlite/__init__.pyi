# The surface of llvmlite that symc uses; a call outside it is a type error on purpose.

__version__: str
