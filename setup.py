"""Packaging of xencim. Tool settings are in pyproject.toml; why each dependency is here is in ARCHITECTURE.md."""

from pathlib import Path

from setuptools import find_packages, setup

MOF = {"cim_provider.mof": "mof", "cim_provider.mof.dmtf": "mof/dmtf", "cim_provider.mof.xen": "mof/xen"}

setup(
    name="xencim",
    version="0.1.0",
    description="One server, two faces: the Xen-API and DMTF CIM over one core, with a built-in simulator",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=[*find_packages(include=["xenapi_core", "xenapi_core.*", "cim_provider", "cim_provider.*"]), *MOF],
    package_dir=MOF,
    package_data={package: ["*.mof"] for package in MOF},
    install_requires=[
        "aiohttp>=3.12",
        "click>=8.1",
        "cryptography>=42",
        "httptools>=0.6.1",
        "lxml>=5.1",
        "orjson>=3.9",
        "python-pam>=2.0.2",
        "pywbem>=1.7",
        "pywbemtools>=1.3",
        "rich>=13.8",
        "uvloop>=0.19",
        "XenAPI>=2.14",
        "xxhash>=3.4",
        "zstandard>=0.22",
    ],
    extras_require={
        "test": [
            "h11>=0.14",
            "hypothesis>=6.98",
            "lxml-stubs>=0.5",
            "mypy>=1.8",
            "pytest>=8.0",
            "ruff>=0.4",
        ],
    },
    entry_points={
        "console_scripts": ["xencim = xenapi_core.cli.main:main"],
        "xencim.apps": ["wbem = cim_provider.app:app"],
        "xencim.commands": ["bridge = xenapi_core.cli.bridge:bridge", "cim = cim_provider.cli.commands:cim"],
    },
)
