"""What a declaration lets a restore make although it gives power over the server: `[restore.allow]`, by name."""

from dataclasses import dataclass

# What it may name.
ALLOWABLE = ("role", "setting", "language", "grant", "function", "foreign data wrapper", "foreign table")
LEFT_OUT = ("role", "setting", "security label")  # what `[restore.exclude]` may name


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may be made, and what is left out on purpose: `KIND NAME` and its reason, each pair once."""

    allow: tuple[tuple[str, str], ...] = ()
    exclude: tuple[tuple[str, str], ...] = ()

    def permits(self, what: str) -> bool:
        """Return whether `what`, `KIND NAME`, may be made."""
        return any(name == what for name, _ in self.allow)

    def excluded(self, what: str) -> str:
        """Return why `what` is left out on purpose, "" when the declaration does not say so."""
        return next((reason for name, reason in self.exclude if name == what), "")


NOTHING = Allowed()


def remedy(what: str) -> str:
    """Return what to declare so that `what` is made."""
    return f"allow it with a reason: [restore.allow] {quoted(what)}"


def quoted(text: str) -> str:
    """Return a name for a message: in quotes, in one line, of bounded length."""
    shown = text.encode("unicode_escape").decode("ascii").replace("\\\\", "\\")
    return f'"{shown}"' if len(shown) <= 200 else f'"{shown[:200]}..."'  # noqa: PLR2004 - three times the longest name
