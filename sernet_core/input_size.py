"""At what size a network sees a frame, and which sizes there are."""

from __future__ import annotations

from dataclasses import dataclass

from sernet_core.errors import ConfigError, InputError

MIN_SIZE = 64  # of each side, for any network
MAX_PIXELS = 2**26  # that an input size may ask for: twice those of an 8K frame
MAX_ASPECT = 16


def check_aspect(height: int, width: int) -> None:
    """Refuse a strip, which scaling would blow up beyond any memory.

    Raises:
        InputError: One side is longer than `MAX_ASPECT` times the other.
    """
    if max(height, width) > MAX_ASPECT * min(height, width):
        words = f"a frame of {width}x{height} is longer than {MAX_ASPECT} times its other side"
        raise InputError(words, cause="strip")


@dataclass(frozen=True)
class InputSize:
    """Rule for the size at which the network sees a frame.

    Attributes:
        target: Width and height to aim at; None takes frames as they come.
        keep_aspect: Aim at the target's number of pixels only, and keep the frame's aspect.
    """

    target: tuple[int, int] | None
    keep_aspect: bool = False

    @classmethod
    def parse(cls, text: str, native: tuple[int, int]) -> InputSize:
        """Rule of a setting: "model" (the native width and height), "source" or "WxH".

        Raises:
            ConfigError: Anything else.
        """
        if text == "model":
            return cls(native, keep_aspect=True)
        if text == "source":
            return cls(None)
        width, _, height = text.partition("x")
        numbers = width.isdecimal() and height.isdecimal() and len(text) < 20
        if not numbers or min(int(width), int(height)) < MIN_SIZE:
            raise ConfigError(
                f"input_size: '{text}' is neither 'model', 'source' nor WxH of at least {MIN_SIZE}x{MIN_SIZE}"
            )
        if int(width) * int(height) > MAX_PIXELS:
            raise ConfigError(f"input_size: '{text}' has more than {MAX_PIXELS} pixels, the most it may have")
        return cls((int(width), int(height)))

    def of(self, height: int, width: int) -> tuple[int, int]:
        """Height and width for the network, of a frame's height and width.

        Raises:
            InputError: The frame is a strip, which scaling would blow up beyond any memory.
        """
        check_aspect(height, width)
        if self.target is None:
            return max(height, MIN_SIZE), max(width, MIN_SIZE)
        target_width, target_height = self.target
        if not self.keep_aspect:
            return target_height, target_width
        factor = (target_width * target_height / (width * height)) ** 0.5
        return max(round(height * factor), MIN_SIZE), max(round(width * factor), MIN_SIZE)
