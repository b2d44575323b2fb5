"""The colors of the plot can be seen on screen in both modes, and told apart by people who see fewer colors."""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import combinations

import pytest

STYLE = files("fly_billing.statements.page").joinpath("page.css").read_text(encoding="utf-8")
NAMED = [f"--c{number}" for number in range(1, 8)]
Rgb = tuple[float, float, float]

# How people without one kind of cone see linear red, green and blue (Machado, Oliveira and Fernandes, 2009).
VISION: dict[str, tuple[Rgb, Rgb, Rgb]] = {
    "all": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def modes() -> dict[str, dict[str, str]]:
    """Return the colors of each mode by name. A color that a mode does not set is that of light mode."""
    light, dark, printed = (
        dict(re.findall(r"(--[a-z0-9-]+): (#[0-9a-f]{3,6});", block))
        for block in re.findall(r":root \{(.*?)\}", STYLE, re.S)
    )
    return {"light": light, "dark": light | dark, "printed": light | printed}


def linear(color: str) -> Rgb:
    digits = color[1:] if len(color) == 7 else "".join(2 * digit for digit in color[1:])
    red, green, blue = (int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4))
    return _linear(red), _linear(green), _linear(blue)


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of WCAG 2."""
    low, high = sorted(0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in map(linear, (one, other)))
    return (high + 0.05) / (low + 0.05)


def lab(color: str, vision: tuple[Rgb, Rgb, Rgb]) -> Rgb:
    """Return the color as somebody with this vision sees it, in CIELAB (D65)."""
    seen = [min(1.0, max(0.0, sum(a * b for a, b in zip(row, linear(color), strict=True)))) for row in vision]
    red, green, blue = seen
    x, y, z = (
        (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505,
        0.2126 * red + 0.7152 * green + 0.0722 * blue,
        (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089,
    )
    fx, fy, fz = (part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116 for part in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


@pytest.mark.parametrize("mode", ["light", "dark", "printed"])
def test_every_color_of_the_plot_stands_out_from_the_paper(mode: str) -> None:
    """WCAG 1.4.11 asks for 3 to 1 for graphics, 1.4.3 for 4.5 to 1 for text."""
    colors = modes()[mode]
    paper = colors["--paper"]
    drawn, written = (*NAMED, "--c8", "--c9", "--soft"), ("--ink", "--quiet", "--accent", "--plus", "--minus")
    assert [name for name in drawn if contrast(colors[name], paper) < 3] == []
    assert [name for name in written if contrast(colors[name], paper) < 4.5] == []


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("mode", ["light", "dark"])
def test_all_colors_of_the_plot_are_told_apart(mode: str, vision: str) -> None:
    """A distance of 10 in CIELAB is seen at a glance. Every second color also has a pattern."""
    colors = modes()[mode]
    seen = {name: lab(colors[name], VISION[vision]) for name in (*NAMED, "--c8")}
    near = {
        (one, other): round(distance)
        for one, other in combinations(seen, 2)
        if (distance := sum((a - b) ** 2 for a, b in zip(seen[one], seen[other], strict=True)) ** 0.5) < 10
    }
    assert near == {}
