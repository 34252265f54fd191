"""Written when pfstatus is built: see pyproject.toml."""

__version__: str
