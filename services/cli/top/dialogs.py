"""What lies over the table: a text to read, and a command to type."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

if TYPE_CHECKING:
    from textual.app import ComposeResult

WHAT_IT_DOES = {
    "HALT": "Open nothing new; finish or unwind what is in flight.",
    "FLATTEN": "Halt, cancel what rests, and trade all exposure back to zero.",
    "RESUME": "Trade again. Know the cause of the halt before.",
}


class TextDialog(ModalScreen[None]):
    """A text that is scrolled; any of the keys that open one closes it."""

    CSS = """
    TextDialog { align: center middle; }
    TextDialog VerticalScroll {
        width: 100%; max-width: 110; height: auto; max-height: 90%;
        border-top: solid $primary; border-bottom: solid $primary;
        background: $surface; scrollbar-size-vertical: 1;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(key, "dismiss", show=False) for key in ("escape", "q", "enter")
    ]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title, self._body = title, text

    def compose(self) -> ComposeResult:
        """Yield the text in its frame."""
        with VerticalScroll() as frame:
            frame.border_title = Content(self._title).markup  # escaped: a row's key is no markup
            frame.border_subtitle = "Esc closes"
            yield Static(Text(self._body), id="text")


class CommandDialog(ModalScreen[bool]):
    """Asks for a command's word; true once it is typed as it is, false if it is given up."""

    CSS = """
    CommandDialog { align: center middle; }
    CommandDialog Vertical {
        width: 70; max-width: 90%; height: auto;
        border: round $error; background: $surface; padding: 0 1;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "give_up", show=False)]

    def __init__(self, kind: str) -> None:
        super().__init__()
        self._kind = kind

    def compose(self) -> ComposeResult:
        """Yield what it does, and where its word is typed."""
        with Vertical() as frame:
            frame.border_title = self._kind
            frame.border_subtitle = "Esc sends nothing"
            yield Static(WHAT_IT_DOES[self._kind])
            yield Input(placeholder=f"type {self._kind} and press Enter", id="word")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Send it if the word is right; else it is typed again."""
        event.stop()
        if event.value.strip() == self._kind:
            self.dismiss(True)
        else:
            event.input.value = ""

    def action_give_up(self) -> None:
        """Send nothing."""
        self.dismiss(False)
