"""The exception that ends a call with a message for the user."""


class Refusal(Exception):
    """The call cannot do what was asked; the text says what was got, what was wanted and what to do."""
