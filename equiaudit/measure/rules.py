"""Every threshold by which an audit is judged: its value, its unit and why it is what it is.

u is the unit roundoff of the precision in which is measured, s_row the scale of a row (``Scale``).
"""

from __future__ import annotations

from dataclasses import dataclass

# -- how far a residual is from nothing ---------------------------------------------------------------------------------

ACCEPT = 2.0**-36
"""Of s_row, in double precision: a residual this small needs no noise probe; it is far above rounding in most models."""
CLEARLY_WRONG = 2.0**-14
"""Of s_row: above this, rounding is no explanation in any model worth auditing, so repeatability is asked first."""
LOUD = 1e-6
"""Of the scale, in double precision: what noise explains although it is as large as this is not called exact."""


@dataclass(frozen=True)
class Rules:
    """How rounding is told from a violation in one precision.

    Args:
        accept: relative residual (of s_row) below which no probe is needed.
        safety: what the noise is multiplied by.
        probes: how many probes at the least.
        amplified: sensitivity in units of the noise up to which an output is only rounding.
    """

    accept: float
    safety: float
    probes: int
    amplified: float


DOUBLE = Rules(ACCEPT, 64.0, 1, 1000.0)
"""In double precision a floor may be generous: it costs no violation that anybody would call one."""
OWN = Rules(0.0, 8.0, 4, 2.0)
"""At a model's own precision every factor costs resolution, so the noise is measured better in place of multiplied."""

# -- noise probes -------------------------------------------------------------------------------------------------------

AMPLITUDES = (2.0, 4.0, 8.0, 16.0, 16.0, 16.0)
"""In u, of one probe after the other: a larger one shows what a small one missed."""
CLEAR = 1e4
"""In units of the floor: an error this far above it ends the probing, and a jump is this far above the twin's floor."""
ACCUSE = 3
"""Probes before CLEAR may end the probing: one of them may be small by luck."""
PARTS = 64.0
"""In units of the noise: the floor of an element that was not probed itself, when a failure is taken apart, or between pixels."""

# -- the action ---------------------------------------------------------------------------------------------------------

EXACT_ACTION = 1e-9
"""Relative error of an action up to which it counts as exact: turning an image by an odd angle is far above, matrices below."""
BLURRED = 1e-6
"""Relative error of an action above which no derivative and no sweep are meaningful."""
ACTION = 4.0
"""In units of the action's own error: the floor of an element that an image can carry only approximately."""
OPEN = 0.05
"""Of the scale: a floor between pixels above this leaves the claim open."""

# -- whether there is anything to judge ---------------------------------------------------------------------------------

MOVES_OUTPUT = 1e-6
"""Of the output's size: a leaf that jitter leaves alone is alive where an element moves it by more."""
MOVES_INPUT = 1e-9
"""Of the input's size: an element that moves it by less is no test."""
STILL = 1e-6
"""Of the output's size: a sensitivity below this is called independence of the input, above it amplified rounding."""
REPEATS, REPEATS_ROUNDING, REPEATS_SIZE = 1e-10, 64.0, 1e-6
"""Of s_row, or 64 u of it, with a millionth of the row's size: two answers to one input that differ by more do not repeat."""

# -- rounding of stored constants ---------------------------------------------------------------------------------------

SMALL = 2000.0
"""In u of the declared precision: a larger violation is not the rounding of its constants."""
SHAKES = 3
"""Copies with shaken constants: what one does to a single number may be small by chance."""
SHAKE = 64.0
"""In u of the declared precision: how far constants are shaken; enough to stand out from their own rounding."""
GROWTH = 3.0
"""Times: a violation that grows more under a shake is made by the constants."""
KNOWN = 16.0
"""Times: a later violation this much below what a shake did to the same leaf is explained without shaking again."""

# -- the declared precision ---------------------------------------------------------------------------------------------

OWN_SAFETY = 160.0
"""In units of the noise and of u: wider than the floor in double precision, since often one probe is all there is."""
OWN_PROBES, OWN_AMPLITUDE = 4, 4.0
"""Probes, and their amplitude in u, before a kernel is accused of computing more coarsely than declared."""

# -- ties ---------------------------------------------------------------------------------------------------------------

TIE_AMPLITUDE, TIE_ELEMENTS = 16.0, 8
"""In u, the noise that makes a tie jump; and how many elements are tried on it: one breaks a tie with probability ½."""

# -- causes -------------------------------------------------------------------------------------------------------------

AS_LARGE = 0.5
"""Of the largest violation: what one part of the group alone must show, to be shown in place of it."""
HIDES = 1e-6
"""Of a violation: what remains of it with the parameters as they are, where those hide it."""
FELT = 1e-9
"""Of the output's size: a change by which an undeclared input is said to carry a frame."""

# -- the Lie derivative -------------------------------------------------------------------------------------------------

STEP = 0.05
"""Parameter of the finite element that cross-checks a derivative (radians; RMS radii for translations)."""
SLOPE_ROUNDING = 2.0**-40
"""Of the tangents' size: what rounding leaves of a derivative in double precision."""
SLOPE_DIFFERENCES = 4.0
"""In units of the error that central differences state of themselves."""
SLOPE_BELIEVED, SLOPE_EXCESS, SLOPE_APART = 1e-9, 1e3, 1e-3
"""Where finite elements hold: a derivative above this and so many resolutions is doubted, if the element differs by a share."""
SETTLED = 1e-4
"""Of the scale: a smaller derivative of a part whose finite elements hold is the rounding of constants."""
