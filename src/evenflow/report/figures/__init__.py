"""The pictures of a report, each with a sentence computed from what it shows."""

from __future__ import annotations

from dataclasses import replace

from evenflow.report.figures.activations import activations_picture
from evenflow.report.figures.gradients import gradient_maps
from evenflow.report.figures.picture import Picture
from evenflow.report.figures.start import start_picture
from evenflow.report.figures.through_time import has_time_steps, time_picture
from evenflow.report.figures.training import accuracy_picture, loss_picture
from evenflow.report.figures.units import dead_picture, saturated_picture
from evenflow.report.view import View

__all__ = ["Picture", "pictures"]


def pictures(view: View) -> tuple[Picture, ...]:
    """Every picture, in the order in which a reader meets them; one without traces has only its sentence."""
    drawn = (
        start_picture(view),
        gradient_maps(view),
        *([time_picture(view)] if has_time_steps(view) else []),
        loss_picture(view),
        accuracy_picture(view),
        dead_picture(view),
        saturated_picture(view),
    )
    if view.selection_note:  # what holds for some need not hold for all
        drawn = tuple(replace(one, sentence=f"Of the networks drawn: {one.sentence}") for one in drawn)
    return activations_picture(view), *drawn
