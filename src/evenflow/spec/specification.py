"""A network, its data and its training together: all that a study trains, apart from the seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from evenflow.errors import SpecError
from evenflow.spec.data import Data
from evenflow.spec.families import AnyNetwork, changed_network, network_fields
from evenflow.spec.network import Network
from evenflow.spec.training import Training

PARTS = ("network", "data", "training")
_Part = TypeVar("_Part", bound=msgspec.Struct)


def _owners() -> dict[str, tuple[str, str]]:
    """Grid key -> (part, field of that part). The key `data` is the name of the data set."""
    owners = {name: ("network", name) for name in network_fields()}
    owners |= {name: ("training", name) for name in Training.__struct_fields__}
    owners |= {name: ("data", name) for name in Data.__struct_fields__ if name != "name"}
    return owners | {"data": ("data", "name")}


GRID_KEYS = _owners()


class Specification(msgspec.Struct, frozen=True, kw_only=True):
    """What is trained, on what, and how.

    >>> changed = Specification().with_fields({"activation": "tanh", "learning_rate": 0.01})
    >>> changed.network.activation, changed.training.learning_rate
    ('tanh', 0.01)
    """

    network: AnyNetwork = Network()
    data: Data = Data()
    training: Training = Training()

    @property
    def fields(self) -> dict[str, object]:
        """Every field by its grid key, as plain data; those of other families and the family `dense` left out."""
        parts = {part: getattr(self, part).plain for part in PARTS}
        return {key: parts[part][field] for key, (part, field) in GRID_KEYS.items() if field in parts[part]}

    def with_fields(self, fields: Mapping[str, object], place: str = "") -> Specification:
        """The same with other values of some fields, by their grid keys.

        Args:
            fields: key -> value.
            place: what an error message begins with.

        Raises:
            SpecError: a value is wrong, or does not go with the others.
        """
        parts = {part: msgspec.to_builtins(getattr(self, part)) for part in ("data", "training")}
        of_network = {key: value for key, value in fields.items() if GRID_KEYS[key][0] == "network"}
        for key, value in fields.items():
            part, field = GRID_KEYS[key]
            if part != "network":
                parts[part][field] = value
        try:
            network = changed_network(self.network, of_network)
        except (SpecError, msgspec.ValidationError) as error:
            raise SpecError(f"{place}{error}") from None
        training = _converted(parts["training"], Training, place)
        if network.normalisation == "batch" and training.batch == 1:
            raise SpecError(
                f'{place}normalisation = "batch" needs batches of at least 2 samples, but batch = 1'
            )
        data = _converted(parts["data"], Data, place)
        return Specification(network=network, data=data, training=training)


def _converted(fields: dict[str, object], kind: type[_Part], place: str) -> _Part:
    try:
        return msgspec.convert(fields, kind)
    except (SpecError, msgspec.ValidationError) as error:
        raise SpecError(f"{place}{error}") from None
