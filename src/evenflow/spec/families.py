"""The families of networks: which there are, what of one is a field of another, and how to go from one to the other."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from evenflow.errors import SpecError, suggest
from evenflow.spec import convolutional, network, recurrent, transformer
from evenflow.spec.convolutional import ConvolutionalNetwork
from evenflow.spec.network import Network
from evenflow.spec.recurrent import RecurrentNetwork
from evenflow.spec.transformer import TransformerNetwork

AnyNetwork = Network | ConvolutionalNetwork | RecurrentNetwork | TransformerNetwork
FAMILIES: Mapping[str, type[AnyNetwork]] = {
    network.FAMILY: Network,
    convolutional.FAMILY: ConvolutionalNetwork,
    recurrent.FAMILY: RecurrentNetwork,
    transformer.FAMILY: TransformerNetwork,
}
"""The classes by what the key `family` says."""
_CELLS = tuple(recurrent.GATES)


def network_fields() -> tuple[str, ...]:
    """Every field that a network of some family has, its family first.

    >>> network_fields()[:3]
    ('family', 'depth', 'width')
    """
    names = {name: None for kind in FAMILIES.values() for name in kind.__struct_fields__}
    return ("family", *names)


def family_of(one: AnyNetwork) -> str:
    """What the key `family` says of a network.

    >>> family_of(RecurrentNetwork())
    'recurrent'
    """
    return str(type(one).__struct_config__.tag)


def family(name: object) -> type[AnyNetwork]:
    """The class of a family.

    Raises:
        SpecError: it is not known.
    """
    if isinstance(name, str) and name in FAMILIES:
        return FAMILIES[name]
    if name in _CELLS:
        raise SpecError(f'family = "{name}": this is a cell; write family = "recurrent" and cell = "{name}"')
    hint = suggest(name, FAMILIES) if isinstance(name, str) else ""
    raise SpecError(f'family = "{name}" is not known{hint}; known: {", ".join(FAMILIES)}')


def owners(field: str) -> str:
    """The families that have a field, for people.

    >>> owners("read")
    'recurrent, transformer'
    """
    return ", ".join(name for name, kind in FAMILIES.items() if field in kind.__struct_fields__)


def refuse_foreign(fields: Mapping[str, object], kind: type[AnyNetwork]) -> None:
    """Raise SpecError for a field that another family has and this one has not."""
    for name in fields:
        if name != "family" and name not in kind.__struct_fields__:
            raise SpecError(
                f'"{name}" is no field of a {kind.__struct_config__.tag} network; it is of: {owners(name)}'
            )


def changed_network(one: AnyNetwork, fields: Mapping[str, object]) -> AnyNetwork:
    """A network with other values of some fields, the key `family` among them.

    Where the family becomes another one, a field that stands at the default of the old family takes that of the new
    one, and what the new one does not have is left out; `fields` themselves count as they are.

    Raises:
        SpecError: a field is not one of the family, or its value is wrong.
        msgspec.ValidationError: a value is of the wrong type.

    >>> changed_network(Network(depth=3), {"family": "transformer", "heads": 2}).activation
    'gelu'
    """
    kind = family(fields.get("family", family_of(one)))
    refuse_foreign(fields, kind)
    kept = msgspec.to_builtins(one)
    if kind is not type(one):
        usual = msgspec.to_builtins(type(one)())
        kept = {
            name: kept[name] for name in kind.__struct_fields__ if name in kept and kept[name] != usual[name]
        }
    return msgspec.convert({**kept, **fields, "family": kind.__struct_config__.tag}, AnyNetwork)  # pyright: ignore
