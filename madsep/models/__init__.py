"""The registry of networks, one class per family."""

from collections.abc import Mapping

from madsep.models.cha import Cha
from madsep.models.dae import Dae
from madsep.models.dwf import Dwf
from madsep.models.gra import Gra
from madsep.models.hel import Hel
from madsep.models.highway import Highway
from madsep.models.mad import Mad
from madsep.models.network import Network

NETWORKS: Mapping[str, type[Network]] = {network.family.name: network for network in (Mad, Dwf, Highway, Gra, Cha, Hel, Dae)}
