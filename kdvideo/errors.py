"""What other libraries' errors say, in one line."""

__all__ = ["first_line"]


def first_line(error: BaseException) -> str:
    """The first line of an error's message, which may go on for pages, or its type where there is none."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
