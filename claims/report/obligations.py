"""The proof obligations behind the bounds, as far as they are machine-checked, as a section of the page."""


def obligations_section() -> str:
    """The section, or nothing while no obligations are registered."""
    return ""
