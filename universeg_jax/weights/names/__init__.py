"""One file for each kind of network: names of its tensors, recognition, JSON. `Network` is the record it fills in."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx

from universeg_jax.errors import WeightsError
from universeg_jax.weights import catalogue
from universeg_jax.weights.mapping import Entry, blueprint, import_tensors

Tensors = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Network:
    """One kind of network that weights can be for.

    Attributes:
        name: name for `universeg-jax convert`.
        model: class of the model, made with a configuration.
        config: class of the configuration.
        signs: name of a tensor that only files of this kind have -> description of the file.
        table: makes the table of tensors of a configuration.
        infer_config: reads the configuration from names and shapes of a state dict, and from options that no file
            shows; raises a WeightsError for files of other kinds.
        to_json: makes JSON of a configuration; raises a WeightsError where that cannot be.
        from_json: makes a configuration of JSON; raises a KeyError, TypeError or ValueError for nonsense.
        describe: makes lines about a model, for people.
        hidden: fields of the configuration that names and shapes do not show.
        explicit: writes out fields that a configuration leaves to others.
        unused: names of tensors that a file may hold and the model does not need.
        read_options: takes a file, its state dict and the given options; returns options for `infer_config`.
    """

    name: str
    model: type[nnx.Module]
    config: type
    signs: Mapping[str, str]
    table: Callable[[Any], list[Entry]]
    infer_config: Callable[..., Any]
    to_json: Callable[[Any], dict[str, Any]]
    from_json: Callable[[Mapping[str, Any]], Any]
    describe: Callable[[Any], list[str]]
    hidden: frozenset[str] = frozenset()
    explicit: Callable[[Any], Any] = field(default=lambda config: config)
    unused: Callable[[Any], Collection[str]] = field(default=lambda config: ())
    read_options: Callable[..., dict[str, Any]] = field(default=lambda file, state_dict, **options: options)

    def recognises(self, state_dict: Tensors) -> bool:
        """Tell whether a state dict is of this kind."""
        return any(name in state_dict for name in self.signs)

    def shown(self, config: Any) -> dict[str, Any]:
        """Return the fields of a configuration that names and shapes of a state dict show."""
        return {name: value for name, value in vars(self.explicit(config)).items() if name not in self.hidden}

    def releases_like(self, config: Any) -> list[catalogue.Release]:
        """Return the releases whose state dicts have the names and shapes of a configuration."""
        same_kind = [release for release in catalogue.RELEASES if type(release.config) is self.config]
        return [release for release in same_kind if self.shown(release.config) == self.shown(config)]

    def fill(self, model: nnx.Module, state_dict: Tensors) -> None:
        """Fill a model, in place, with a state dict: every tensor is used, every parameter filled, in float32.

        Raises:
            WeightsError: every tensor that does not fit is listed, and another network is named that the state dict
                seems to be of; the model is as before.
        """
        config: Any = vars(model)["config"]
        try:
            import_tensors(model, state_dict, self.table(config), unused=self.unused(config))
        except WeightsError as error:
            start = "the weights do not fit the model"
            raise WeightsError(str(error).replace(start, start + self._other(config, state_dict), 1)) from None

    def make(self, state_dict: Tensors, **options: Any) -> Any:
        """Make a model of a state dict.

        Args:
            options: as for `infer_config`.

        Raises:
            WeightsError: the state dict does not fit.
        """
        model = blueprint(self.model, self.infer_config(state_dict, **options))
        self.fill(model, state_dict)
        return model

    def make_from(self, file: str | Path, state_dict: Tensors, **options: Any) -> Any:
        """Make a model of the state dict in a file.

        Args:
            options: as for `read_options`.

        Raises:
            WeightsError: the state dict does not fit.
        """
        return self.make(state_dict, **self.read_options(file, state_dict, **options))

    def _other(self, config: Any, state_dict: Tensors) -> str:
        """Name the network that a state dict seems to be of, if it is another than wanted."""
        try:
            found = self.infer_config(state_dict)
        except WeightsError:
            return ""
        if self.shown(found) == self.shown(config):
            return ""
        names = " or ".join(release.name for release in self.releases_like(found))
        return f", but look like those of {names or found}"
