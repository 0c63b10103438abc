"""What the plots of several figures share."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

# Colour-blind safe (Okabe and Ito).
RELATED, UNRELATED = "#0072B2", "#D55E00"


def band(panel: Axes, x: Any, values: Any, *, color: str | None, label: str, marker: str = "o") -> None:
    """Draw the mean of values [pairs, x] as a line, and their standard deviation as a band around it."""
    values = np.asarray(values)
    mean, spread = values.mean(axis=0), values.std(axis=0)
    panel.plot(x, mean, marker=marker, markersize=4, color=color, label=label)
    panel.fill_between(x, mean - spread, mean + spread, color=color, alpha=0.2, linewidth=0)


def over_epochs(panel: Axes, label: str, distance: str, *, log: bool = False) -> None:
    """Name the axes of distances over epochs."""
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.set_xlabel(label)
    panel.set_ylabel(f"Zest distance ({distance})")
    if log:
        panel.set_yscale("log")
    else:
        panel.set_ylim(bottom=0)
