"""The registry of model families: their settings and descriptions, without the networks."""

from collections.abc import Mapping
from typing import Any

from madsep.systems.families.cha import ChaFamily
from madsep.systems.families.dae import DaeFamily
from madsep.systems.families.dwf import DwfFamily
from madsep.systems.families.family import Family
from madsep.systems.families.gra import GraFamily
from madsep.systems.families.hel import HelFamily
from madsep.systems.families.highway import HighwayFamily
from madsep.systems.families.mad import MadFamily

FAMILIES: Mapping[str, Family[Any]] = {
    family.name: family for family in (MadFamily(), DwfFamily(), HighwayFamily(), GraFamily(), ChaFamily(), HelFamily(), DaeFamily())
}
