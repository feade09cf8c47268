"""Metrics in a form that one process can send to another."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Family(BaseModel):
    """A metric as Prometheus' client collects it: each sample is a name, labels and a value."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    name: str
    documentation: str
    type: str
    samples: list[tuple[str, dict[str, str], float]]


class Figures(BaseModel):
    """All metrics of one process."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    kind: Literal["figures"] = "figures"
    families: list[Family]
