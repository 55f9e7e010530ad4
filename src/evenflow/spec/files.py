"""Reading and writing a study as a TOML file; every error names the file, the place in it and the way out."""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec

from evenflow.errors import SpecError, suggest
from evenflow.spec.content import content_hash
from evenflow.spec.data import Data
from evenflow.spec.families import family, network_fields, owners
from evenflow.spec.network import Network
from evenflow.spec.study import Study
from evenflow.spec.training import Training

_TABLES: dict[str, type[msgspec.Struct]] = {"network": Network, "data": Data, "training": Training}


def read_study(path: str | Path) -> Study:
    """Read a study from a TOML file.

    Files named in `modules` and a data `path` are relative to the file itself.

    Raises:
        SpecError: the file is missing, is not TOML, has an unknown key, or a value is wrong.
    """
    path = Path(path)
    return study_from_text(_read_text(path), path.name, path.parent)


def study_from_text(text: str, place: str, folder: Path) -> Study:
    """As `read_study`, from `text` that stands at `place`; `folder` is where relative paths begin."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{place}: not TOML: {error}") from None
    _refuse_unknown(raw, Study, place)
    for table in _TABLES:
        if table not in raw:
            continue
        if not isinstance(raw[table], dict):
            raise SpecError(f"{place}: {table} is a table; write [{table}] and its keys below it")
    kinds = _TABLES | {"network": _kind_of_network(raw.get("network", {}), place)}
    for table, kind in kinds.items():
        _refuse_unknown(raw.get(table, {}), kind, f"{place}, [{table}]")
    _refuse_loose_grid(raw.get("grid", {}), place)
    _resolve_paths(raw, folder)
    for module in raw.get("modules", []):
        import_module(Path(module), place)
    parts = {
        table: _convert(raw.get(table, {}), kind, f"{place}, [{table}]") for table, kind in kinds.items()
    }
    return _convert(raw | {table: msgspec.to_builtins(part) for table, part in parts.items()}, Study, place)


def study_to_text(study: Study) -> str:
    """The study as a TOML text that `read_study` turns into an equal study, every default spelt out."""
    import tomli_w

    return tomli_w.dumps(_without_none(msgspec.to_builtins(study)))


def import_module(path: Path, place: str) -> None:
    """Run a Python file that registers custom activations.

    Raises:
        SpecError: the file is missing or fails.
    """
    name = f"evenflow_module_{content_hash(str(path.resolve()))}"
    if name in sys.modules:
        return
    specification = importlib.util.spec_from_file_location(name, path)
    if not path.is_file() or specification is None or specification.loader is None:
        raise SpecError(f'{place}, modules: no Python file "{path}"; paths begin at the study\'s own folder')
    module = importlib.util.module_from_spec(specification)
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        raise SpecError(f'{place}, modules: "{path}" failed: {type(error).__name__}: {error}') from error
    sys.modules[name] = module


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SpecError(
            f"{path}: no such file; 'evenflow study --show > {path}' writes one to start from"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: cannot be read as a text: {error}") from None


def _kind_of_network(raw: dict[str, Any], place: str) -> type[msgspec.Struct]:
    try:
        return family(raw.get("family", "dense"))
    except SpecError as error:
        raise SpecError(f"{place}, [network]: {error}") from None


def _refuse_unknown(raw: dict[str, Any], kind: type[msgspec.Struct], place: str) -> None:
    tag = kind.__struct_config__.tag_field
    known = (tag, *kind.__struct_fields__) if tag else kind.__struct_fields__
    for key in raw:
        if key not in known:
            owner = next(
                (f"[{table}]" for table, other in _TABLES.items() if key in other.__struct_fields__), ""
            )
            if key in network_fields():
                owner = f'[network] with family = "{owners(key)}"' if tag else "[network]"
            hint = suggest(key, known) or (f'; "{key}" belongs to {owner}' if owner else "")
            raise SpecError(f'{place}: "{key}" is not a key here{hint}; known: {", ".join(known)}')


def _refuse_loose_grid(grid: object, place: str) -> None:
    if not isinstance(grid, dict):
        raise SpecError(f"{place}: grid is a table; write [grid] and its keys below it")
    for key, value in grid.items():
        if not isinstance(value, list):
            raise SpecError(
                f"{place}, [grid]: {key} = {value!r} is one value; a grid lists values: {key} = [{value!r}]"
            )


def _convert(raw: object, kind: type[Any], place: str) -> Any:
    try:
        return msgspec.convert(raw, kind)
    except SpecError as error:
        raise SpecError(f"{place}: {error}") from None
    except msgspec.ValidationError as error:
        raise SpecError(f"{place}: {_in_words(str(error), kind)}") from None


def _in_words(message: str, kind: type[Any]) -> str:
    """`Expected ..., got ... - at `$.depth`` -> `depth: expected ..., got ...`, and the choices, if any."""
    text, at, where = message.partition(" - at `$.")
    if not at:
        return message
    field = where.rstrip("`")
    choices = get_args(get_type_hints(kind).get(field)) if "enum" in text else ()
    known = f"; known: {', '.join(map(str, choices))}" if choices else ""
    return f"{field}: {text[0].lower()}{text[1:]}{known}"


def _resolve_paths(raw: dict[str, Any], folder: Path) -> None:
    """Make every path absolute, so that the study means the same when it is read back from its store."""

    def absolute(path: object) -> object:
        return str((folder / Path(path).expanduser()).resolve()) if isinstance(path, str) else path

    for table, key in ((raw, "modules"), (raw.get("grid", {}), "path")):
        if isinstance(table.get(key), list):
            table[key] = [absolute(path) for path in table[key]]
    if "path" in raw.get("data", {}):
        raw["data"]["path"] = absolute(raw["data"]["path"])


def _without_none(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _without_none(value) for key, value in data.items() if value is not None}
    if isinstance(data, list):
        return [_without_none(value) for value in data]
    return data
