"""The one compiled file. Everything else is in setup.cfg; without a C compiler the package installs without it."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "distort._metrics",
            ["distort/metrics.c"],
            extra_compile_args=["-O3", "-ffp-contract=off"],
            optional=True,
        )
    ]
)
