"""Declared estates with another DR strategy or another mode of backup, as an option or a feature asks for."""

from typing import Literal

from harness.estate.config import Config


def with_strategy(config: Config, strategy: str) -> Config:
    """Return the estate with another DR strategy, `pilot-light`, `cold` or `warm`; "" keeps the declared one."""
    if not strategy:
        return config
    dr = config.sites.dr.model_copy(update={"strategy": strategy})
    return config.model_copy(update={"sites": config.sites.model_copy(update={"dr": dr})})


def with_mode(config: Config, mode: Literal["", "logical", "physical"]) -> Config:
    """Return the estate whose databases are backed up in another mode; "" keeps the declared one."""
    if not mode:
        return config
    return config.model_copy(update={"backup": config.backup.model_copy(update={"mode": mode})})
